"""`/v1/ask` with `DOCUMENTS_SEARCH_TOOL`: the model searches again, and cites what it found."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.llm.types import ToolCall
from app.main import create_app
from app.rag.prompt import NOT_IN_THE_DOCUMENTS
from app.settings import Settings
from app.testing import CapturedLogs, FakeChatModel, Turn
from mock_api.application import create_app as create_mock
from scripts.flow import flow, told
from tests.running_service import opened
from tests.telemetry.spans import Spans, traced_service

ASKED = {"question": "How many cats?"}
WORDS = ("cats", "mock", "z", "entirely")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents with a few words each: the mock's vectors are closer for common words."""
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "cats.md").write_text("How many cats? Ten cats.")
    (docs / "mock.md").write_text("The answer to a mock query is a mock.")
    (docs / "other.md").write_text("Something entirely different, unrelated.")
    return docs


def documents(folder: Path, **more: Any) -> dict[str, Any]:
    return {"dir": folder, "search_tool": True, "top_k": 1, **more}


def search(query: str = "mock query", id_: str = "1") -> ToolCall:
    return ToolCall(id=id_, name="search_documents", arguments=json.dumps({"query": query}))


class Words(FakeChatModel):
    """A model that embeds a text as the words of `WORDS` in it."""

    async def embed(self, request: Any, /) -> Any:
        embeddings = await super().embed(request)
        rows = [[float(word in text) for word in WORDS] for text in request.texts]
        vectors = tuple((*row, 0.01) for row in rows)
        return type(embeddings)(embeddings.model, vectors, embeddings.prompt_tokens)


async def asked(folder: Path, *turns: Turn, **policy: Any) -> tuple[Any, FakeChatModel]:
    model = Words(*turns)
    async with opened(model, documents=documents(folder, **policy)) as service:
        answer = await service.http.post("/v1/ask", json=ASKED)
    assert answer.status_code == 200, answer.text
    return answer.json(), model


async def test_chunks_of_a_later_search_follow_the_first_ones_and_are_cited(folder: Path) -> None:
    answer, model = await asked(folder, [search()], "Ten [1], and a mock [2].")
    assert [it["id"] for it in answer["contexts"]] == ["cats.md/1", "mock.md/1"]
    assert answer["answer"] == "Ten [1], and a mock [2]."
    first, second = model.requests
    result = json.loads(second.messages[-1].text)
    assert (result["number"], result["source"]) == (2, "mock.md/1")
    assert second.messages[-1].role == "tool"
    assert answer["response"]["usage"]["prompt_tokens"] == 6
    assert "search_documents" in first.messages[0].text
    assert first.prompt == second.prompt
    assert answer["prompt"]["name"] == "ask_with_search"
    assert [message.role for message in first.messages] == ["system", "user", "user"]


async def test_a_known_chunk_is_not_shown_a_second_time(folder: Path) -> None:
    answer, model = await asked(folder, [search("cats")], "Ten [1].")
    assert len(answer["contexts"]) == 1
    assert model.requests[1].messages[-1].text == "No other excerpt fits these words."


async def test_all_later_excerpts_share_one_bound_of_characters(folder: Path) -> None:
    for number in range(9):
        (folder / f"z{number}.md").write_text("z " * 100)
    calls = [search("z", str(number)) for number in range(3)]
    answer, model = await asked(folder, calls, "Ten.", context_chars=600, top_k=9)
    results = [message.text for message in model.requests[1].messages if message.role == "tool"]
    assert 0 < sum(map(len, results)) - 2 * len("No other excerpt fits these words.") <= 600
    assert len(answer["contexts"]) == 3


async def test_a_search_with_bad_arguments_or_an_unknown_tool_still_ends_in_an_answer(
    folder: Path,
) -> None:
    bad = [search(""), ToolCall(id="2", name="delete_documents", arguments="{}")]
    answer, model = await asked(folder, bad, "Ten [1].")
    assert answer["answer"] == "Ten [1]."
    *_, first, second = model.requests[1].messages
    assert first.text.startswith("Error: invalid arguments: query: ")
    assert second.text.startswith("Error: there is no tool 'delete_documents'")


async def test_endless_searches_end_in_an_answer(folder: Path) -> None:
    turns: list[Turn] = [[search(id_=str(number))] for number in range(2)]
    answer, model = await asked(folder, *turns, "Ten [1].", search_max_rounds=2)
    assert answer["answer"] == "Ten [1]."
    assert [request.tool_choice for request in model.requests] == [None, None, "none"]


async def test_a_model_that_only_searches_is_a_502(folder: Path) -> None:
    settings = documents(folder, search_max_rounds=1)
    async with opened(Words([search()]), documents=settings) as service:
        answer = await service.http.post("/v1/ask", json=ASKED)
    assert (answer.status_code, answer.json()["type"]) == (502, "urn:problem:provider-failed")


async def test_a_question_outside_the_documents_still_calls_no_model(folder: Path) -> None:
    model = Words("?")
    async with opened(model, documents=documents(folder)) as service:
        answer = await service.http.post("/v1/ask", json={"question": "Quokkas?"})
    assert answer.json()["answer"] == NOT_IN_THE_DOCUMENTS
    assert model.requests == []


async def test_without_the_setting_the_model_has_no_tool(folder: Path) -> None:
    _, model = await asked(folder, "Ten [1].", search_tool=False)
    (request,) = model.requests
    assert request.tools == ()
    assert "search_documents" not in request.messages[0].text


@asynccontextmanager
async def with_mock(folder: Path, dialect: str | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    mock = httpx2.ASGITransport(create_mock())
    settings = Settings(documents=documents(folder))  # type: ignore[arg-type]
    app = create_app(settings, transport=mock)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=mock, base_url="http://mock") as control,
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        if dialect is not None:
            await control.put("/_mock/dialect", json={"name": dialect})
        yield http


async def test_the_mock_searches_again_and_its_chunks_are_contexts(folder: Path) -> None:
    async with with_mock(folder) as http:
        answer = (await http.post("/v1/ask", json=ASKED)).json()
    assert [it["id"] for it in answer["contexts"]] == ["cats.md/1", "mock.md/1"]
    assert "mock.md" in answer["answer"]


async def test_the_transcript_of_endless_searches_is_in_the_flow_of_the_request(
    folder: Path, logs: CapturedLogs
) -> None:
    async with with_mock(folder, "endless_tools") as http:
        await http.post("/v1/ask", json=ASKED, headers={"X-Request-ID": "endless"})
        metrics = (await http.get("/metrics")).text
    found = flow("endless", logs.text.splitlines())
    events = [it.event for it in found if it.event not in {"operation.entered", "operation.left"}]
    chats = [it for it in found if it.event == "tool.call" or "operation=chat" in it.facts.split()]
    assert [it.event for it in chats] == ["llm.call", "tool.call"] * 3 + ["llm.call"]
    assert events[-2:] == ["tool.loop", "http.request"]
    shown = "\n".join(told(found))
    for number in (1, 2, 3):
        assert (
            f"tool=search_documents call_id={_id(shown, number)} round={number} outcome=ok" in shown
        )
    assert "end=rounds rounds=3 calls=3 cost_usd=0.0" in shown
    assert "mock query" not in shown
    assert 'tool_calls_total{outcome="ok",tool="search_documents"} 3.0' in metrics
    assert 'tool_loops_total{end="rounds"} 1.0' in metrics


def _id(shown: str, number: int) -> str:
    (line,) = [line for line in shown.splitlines() if f" round={number} " in line]
    return line.partition("call_id=")[2].split()[0]


async def test_a_search_of_the_model_is_inside_the_span_of_its_tool_call(folder: Path) -> None:
    spans = Spans()
    mock = httpx2.ASGITransport(create_mock())
    async with traced_service(spans, mock, documents=documents(folder)) as http:
        await http.post("/v1/ask", json=ASKED)
    request = spans.one("POST /v1/ask")
    below = [span.name for span in spans.below(request)]
    assert below == [
        "retrieval documents",
        "chat gpt-5-mini",
        "execute_tool search_documents",
        "chat gpt-5-mini",
    ]
    tool = spans.one("execute_tool search_documents")
    assert [span.name for span in spans.below(tool)] == ["retrieval documents"]
