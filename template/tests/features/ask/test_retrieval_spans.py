"""The spans of a question about documents: a search, with the embedding inside, and a call."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.rag.prompt import ASK
from mock_api.application import create_app as create_mock
from tests.telemetry.spans import Spans, facts, traced_service

KEY = "sk-proj-canary-0123456789abcdef"
QUESTION = {"question": f"How many questions a day with {KEY}?", "top_k": 2}


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "limits.md").write_text("# Limits\nHow many questions a day? Ten a day.")
    (docs / "birds.md").write_text("# Birds\nA quokka is no bird.")
    return docs


async def asked(spans: Spans, folder: Path, *questions: dict[str, Any], **settings: Any) -> None:
    settings["documents"] = {"dir": folder, "min_score": -1}
    async with traced_service(spans, httpx2.ASGITransport(create_mock()), **settings) as http:
        for question in questions:
            assert (await http.post("/v1/ask", json=question)).status_code == 200


async def test_a_question_is_a_search_with_an_embedding_and_a_call(
    spans: Spans, folder: Path
) -> None:
    await asked(spans, folder, QUESTION, QUESTION)
    first, second = [span for span in spans.all if span.name == "POST /v1/ask"]
    for request, embeddings in ((first, 2), (second, 1)):  # the first one has the documents read
        search, call = spans.below(request)
        assert [search.name, call.name] == ["retrieval documents", "chat gpt-5-mini"]
        inside = [span.name for span in spans.below(search)]
        assert inside == ["embeddings text-embedding-3-small"] * embeddings
        assert facts(call)["gen_ai.prompt.name"] == "ask"
        assert facts(call)["gen_ai.prompt.version"] == str(ASK.id.version)


async def test_a_search_is_described_in_the_words_of_the_genai_conventions(
    spans: Spans, folder: Path
) -> None:
    await asked(spans, folder, QUESTION)
    assert facts(spans.one("retrieval documents")) == {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": "documents",
        "gen_ai.retrieval.top_k": 2,
        "app.retrieval.found": 2,
    }
    assert "How many" not in spans.text


async def test_previews_show_the_question_and_the_found_chunks(spans: Spans, folder: Path) -> None:
    await asked(spans, folder, QUESTION, log={"previews": True})
    told = facts(spans.one("retrieval documents"))
    assert told["gen_ai.retrieval.query.text"] == "How many questions a day with sk-***?"
    found = json.loads(told["gen_ai.retrieval.documents"])
    assert {piece["id"] for piece in found} == {"limits.md#limits/1", "birds.md#birds/1"}
    assert found[0]["score"] > found[1]["score"]


async def test_a_failed_search_has_its_error_type(spans: Spans, folder: Path) -> None:
    def down(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(401, json={"error": {"message": KEY}})

    transport = httpx2.MockTransport(down)
    async with traced_service(spans, transport, documents={"dir": folder}) as http:
        assert (await http.post("/v1/ask", json=QUESTION)).status_code == 502
    assert facts(spans.one("retrieval documents"))["error.type"] == "AuthenticationError"
    assert KEY not in spans.text
