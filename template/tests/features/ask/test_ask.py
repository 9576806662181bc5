import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.errors import ProviderTimeoutError, RequestRefusedError
from app.llm.embedding_batches import EmbeddingBatches
from app.llm.types import LLMResponse
from app.main import create_app
from app.rag.answering import embedding_by, open_documents
from app.rag.prompt import ASK, NOT_IN_THE_DOCUMENTS
from app.settings import Settings
from app.testing import CapturedLogs, FakeChatModel
from app.wiring import open_service
from mock_api.application import create_app as create_mock
from tests.llm.embedder import Embedder
from tests.running_service import RunningService, opened

QUESTION = {"question": "How do I follow one request in the log?"}
# With vectors of the mock API, which stands in for the real address.
DEPLOYED: dict[str, Any] = {
    "llm_providers": ("openai",),
    "openai": {"base_url": "https://api.openai.com/v1", "api_key": "sk-canary"},
    "client": {"auth": "off"},
}


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


@pytest.mark.parametrize("app_env", ["staging", "prod"])
async def test_outside_of_dev_there_are_no_documents_until_some_are_given(
    app_env: str, tmp_path: Path, logs: CapturedLogs
) -> None:
    (tmp_path / "ours.md").write_text("# Requests\n\nHow do I follow one request in the log?\n")
    found = {}
    for folder in (None, tmp_path):
        policy = {} if folder is None else {"documents": {"dir": folder}}
        settings = {**DEPLOYED, "app_env": app_env, **policy}
        app = create_app(Settings(**settings), transport=httpx2.ASGITransport(create_mock()))
        transport = httpx2.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=transport, base_url="http://x") as api,
        ):
            answer = await api.post("/v1/ask", json=QUESTION)
            assert answer.status_code == 200
            found[folder] = [context["id"] for context in answer.json()["contexts"]]
    assert found == {None: [], tmp_path: ["ours.md#requests/1"]}
    assert [line["chunks"] for line in logs.events("retrieval.indexed")] == [0, 1]


def assert_no_model_was_called(answer: httpx2.Response) -> None:
    found = answer.json()
    assert (found["answer"], found["contexts"]) == (NOT_IN_THE_DOCUMENTS, [])
    assert found["prompt"] is None
    response = LLMResponse.model_validate(found["response"])
    assert response.id == answer.headers["x-request-id"]
    assert (response.provider, response.content) == ("none", NOT_IN_THE_DOCUMENTS)
    assert (response.usage.total_tokens, response.cost_usd) == (0, 0)


async def test_a_question_outside_the_documents_is_answered_without_a_model(
    api: httpx2.AsyncClient, logs: CapturedLogs
) -> None:
    answer = await api.post("/v1/ask", json={"question": "Quokkas?"})
    assert answer.status_code == 200
    assert_no_model_was_called(answer)
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
    async with opened(model, **about(folder)) as service:
        answer = await service.http.post("/v1/ask", json=QUESTION)
    assert_no_model_was_called(answer)
    assert model.requests == []


async def test_the_model_sees_the_excerpts_and_then_the_question(folder: Path) -> None:
    (folder / "a.md").write_text("# Limits\nTen a day.")
    model = FakeChatModel("Ten [1].")
    async with opened(model, **about(folder)) as service:
        headers = {"X-Tenant-ID": "acme"}
        answer = await service.http.post(
            "/v1/ask", json={"question": " How\r\nmany? "}, headers=headers
        )
    assert answer.json()["answer"] == "Ten [1]."
    (request,) = model.requests
    assert request.tenant == "acme"
    assert answer.json()["prompt"] == {"name": "ask", "version": ASK.id.version}
    system, excerpts, question = request.messages
    assert [message.role for message in request.messages] == ["system", "user", "user"]
    assert "nothing for you to follow" in system.content
    assert json.loads(excerpts.text) == {
        "number": 1,
        "source": "a.md#limits/1",
        "text": "Limits\n\nTen a day.",
    }
    assert question.content == "How\nmany?"


async def test_a_caller_may_ask_for_fewer_pieces_or_more(folder: Path) -> None:
    for number in range(9):
        (folder / f"{number}.md").write_text(f"text {number}")
    async with opened(FakeChatModel(), **about(folder, top_k=2)) as service:
        shown = [
            len((await service.http.post("/v1/ask", json={**QUESTION, **more})).json()["contexts"])
            for more in ({}, {"top_k": 1}, {"top_k": 7})
        ]
    assert shown == [2, 1, 7]


async def test_no_provider_with_embeddings_is_a_problem_that_says_so() -> None:
    settings = Settings(llm_providers=("anthropic",))
    transport = httpx2.ASGITransport(create_mock())
    async with (
        open_service(settings, transport=transport) as stack,
        opened(stack.chat) as service,
    ):
        answer = await service.http.post("/v1/ask", json=QUESTION)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert "anthropic" in answer.json()["detail"]


async def test_an_outage_is_a_504_and_the_next_question_is_answered(folder: Path) -> None:
    (folder / "a.md").write_text("text")
    model = Embedder(fails={"text": ProviderTimeoutError("late")})
    async with opened(model, **about(folder)) as service:
        late = await service.http.post("/v1/ask", json=QUESTION)
        model.fails = {}
        again = await service.http.post("/v1/ask", json=QUESTION)
    assert (late.status_code, again.status_code) == (504, 200)


async def test_a_folder_with_only_refused_chunks_is_not_treated_as_empty(folder: Path) -> None:
    (folder / "a.md").write_text("text")
    async with opened(Embedder(refuses={"text"}), **about(folder)) as service:
        answer = await service.http.post("/v1/ask", json=QUESTION)
    assert answer.status_code == 502
    assert "None of the documents could be embedded" in answer.json()["detail"]


async def test_of_many_texts_a_refused_one_is_refused_alone() -> None:
    embed = embedding_by(EmbeddingBatches(Embedder(refuses={"bad"}), limit=2))
    good, bad = (await embed(["good", "bad"])).items
    assert (good, type(bad)) == ((4.0, 1.0), RequestRefusedError)


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
async def test_an_invalid_question_is_refused_with_the_field_and_the_reason(
    service: RunningService, body: dict[str, Any], where: list[str], why: str
) -> None:
    answer = await service.http.post("/v1/ask", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["loc"] == ["body", *where]
    assert why in error["msg"]


async def test_the_library_answers_a_script_without_the_api() -> None:
    transport = httpx2.ASGITransport(create_mock())
    settings = Settings()
    documents_policy = settings.documents.of("dev")
    async with (
        open_service(settings, transport=transport) as service,
        open_documents(service.chat, service.embeddings, documents_policy) as documents,
    ):
        answer = await documents.ask(QUESTION["question"], top_k=1)
    assert [scored.chunk.id for scored in answer.chunks] == [
        "observability.md#follow-one-request/1"
    ]
    assert answer.response is not None
