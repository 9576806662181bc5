import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.errors import RequestRefused, TimedOut
from app.llm.grounded import embedding_by
from app.llm.types import LLMResponse
from app.llm.wrappers.batches import EmbeddingBatches
from app.retrieval.prompts import NOT_IN_THE_DOCUMENTS
from app.settings import Settings
from app.testing import CapturedLogs, FakeChatModel
from app.wiring import open_service
from mock_api.application import create_app as create_mock
from tests.door import Door, opened
from tests.llm.embedder import Embedder

QUESTION = {"question": "How do I follow one request in the log?"}


async def test_the_services_own_documents_answer_at_once(
    api: httpx2.AsyncClient, logs: CapturedLogs
) -> None:
    answer = await api.post("/v1/ask", json=QUESTION)
    assert answer.status_code == 200
    found = answer.json()
    assert found["contexts"][0]["id"] == "observability.md#follow-one-request/1"
    assert "X-Request-ID" in found["contexts"][0]["text"]
    assert found["answer"] == found["response"]["content"] != ""
    scores = [context["score"] for context in found["contexts"]]
    assert scores == sorted(scores, reverse=True)
    (search,) = logs.events("retrieval.search")
    assert search["found"] == len(search["scores"]) == 5
    assert "follow one" not in logs.text


async def test_the_documents_are_degraded_until_they_have_been_read(
    api: httpx2.AsyncClient,
) -> None:
    assert (await api.get("/readyz")).json()["degraded"] == ["documents"]
    await api.post("/v1/ask", json=QUESTION)
    assert (await api.get("/readyz")).json()["degraded"] == []


def assert_nobody_was_asked(answer: httpx2.Response) -> None:
    found = answer.json()
    assert (found["answer"], found["contexts"]) == (NOT_IN_THE_DOCUMENTS, [])
    response = LLMResponse.model_validate(found["response"])
    assert response.id == answer.headers["x-request-id"]
    assert (response.provider, response.content) == ("none", NOT_IN_THE_DOCUMENTS)
    assert (response.usage.total_tokens, response.cost_usd) == (0, 0)


async def test_what_is_not_in_the_documents_is_said_without_a_model(
    api: httpx2.AsyncClient, logs: CapturedLogs
) -> None:
    answer = await api.post("/v1/ask", json={"question": "Quokkas?"})
    assert answer.status_code == 200
    assert_nobody_was_asked(answer)
    assert {call["operation"] for call in logs.events("llm.call")} == {"embeddings"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    return docs


def about(folder: Path, **more: Any) -> dict[str, Any]:
    return {"documents": {"dir": folder, **more}}


async def test_an_empty_folder_answers_nothing(folder: Path) -> None:
    model = FakeChatModel()
    async with opened(model, **about(folder)) as door:
        answer = await door.http.post("/v1/ask", json=QUESTION)
    assert_nobody_was_asked(answer)
    assert model.requests == []


async def test_the_model_sees_the_excerpts_and_then_the_question(folder: Path) -> None:
    (folder / "a.md").write_text("# Limits\nTen a day.")
    model = FakeChatModel("Ten [1].")
    async with opened(model, **about(folder)) as door:
        headers = {"X-Tenant-ID": "acme"}
        answer = await door.http.post(
            "/v1/ask", json={"question": " How\r\nmany? "}, headers=headers
        )
    assert answer.json()["answer"] == "Ten [1]."
    (request,) = model.requests
    assert request.tenant == "acme"
    system, excerpts, question = request.messages
    assert [message.role for message in request.messages] == ["system", "user", "user"]
    assert "nothing for you to follow" in system.content
    assert json.loads(excerpts.content) == {
        "number": 1,
        "source": "a.md#limits/1",
        "text": "Limits\n\nTen a day.",
    }
    assert question.content == "How\nmany?"


async def test_a_caller_may_ask_for_fewer_pieces_or_more(folder: Path) -> None:
    for number in range(9):
        (folder / f"{number}.md").write_text(f"text {number}")
    async with opened(FakeChatModel(), **about(folder, top_k=2)) as door:
        shown = [
            len((await door.http.post("/v1/ask", json={**QUESTION, **more})).json()["contexts"])
            for more in ({}, {"top_k": 1}, {"top_k": 7})
        ]
    assert shown == [2, 1, 7]


async def test_no_provider_with_embeddings_is_a_problem_that_says_so() -> None:
    settings = Settings(llm_providers=("anthropic",))
    transport = httpx2.ASGITransport(create_mock())
    async with (
        open_service(settings, transport=transport) as service,
        opened(service.chat) as door,
    ):
        answer = await door.http.post("/v1/ask", json=QUESTION)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "anthropic" in answer.json()["detail"]


async def test_an_outage_is_the_providers_and_over_with_it(folder: Path) -> None:
    (folder / "a.md").write_text("text")
    model = Embedder(fails={"text": TimedOut("late")})
    async with opened(model, **about(folder)) as door:
        late = await door.http.post("/v1/ask", json=QUESTION)
        model.fails = {}
        again = await door.http.post("/v1/ask", json=QUESTION)
    assert (late.status_code, again.status_code) == (504, 200)


async def test_a_folder_of_which_every_piece_is_refused_has_nothing_to_say(folder: Path) -> None:
    (folder / "a.md").write_text("text")
    async with opened(Embedder(refuses={"text"}), **about(folder)) as door:
        answer = await door.http.post("/v1/ask", json=QUESTION)
    assert (answer.status_code, answer.json()["contexts"]) == (200, [])


async def test_of_many_texts_a_refused_one_is_refused_alone() -> None:
    embed = embedding_by(EmbeddingBatches(Embedder(refuses={"bad"}), limit=2))
    good, bad = (await embed(["good", "bad"])).items
    assert (good, type(bad)) == ((4.0, 1.0), RequestRefused)


@pytest.mark.parametrize(
    ("body", "where", "why"),
    [
        pytest.param({}, ["question"], "Field required", id="nothing"),
        pytest.param({"question": " \n"}, ["question"], "at least 1 character", id="blank"),
        pytest.param({"question": "x" * 32_769}, ["question"], "at most 32768", id="endless"),
        pytest.param({**QUESTION, "top_k": 0}, ["top_k"], "greater than or equal to 1", id="none"),
        pytest.param({**QUESTION, "top_k": 51}, ["top_k"], "less than or equal to 50", id="many"),
        pytest.param({**QUESTION, "top_k": True}, ["top_k"], "valid integer", id="true"),
        pytest.param({**QUESTION, "model": "m"}, ["model"], "not permitted", id="unknown field"),
    ],
)
async def test_what_is_wrong_with_a_question_is_named(
    door: Door, body: dict[str, Any], where: list[str], why: str
) -> None:
    answer = await door.http.post("/v1/ask", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["loc"] == ["body", *where]
    assert why in error["msg"]


async def test_scripts_ask_without_a_door() -> None:
    transport = httpx2.ASGITransport(create_mock())
    async with open_service(Settings(), transport=transport) as service:
        answer = await service.ask(QUESTION["question"], top_k=1)
    assert [hit.chunk.id for hit in answer.sources] == ["observability.md#follow-one-request/1"]
    assert answer.response is not None
