"""The keys that callers rely on: changing one of them breaks programs of users."""

import json
from collections.abc import Iterator

import httpx2
import pytest

from app.errors import ProviderTimeoutError, StreamInterruptedError
from app.llm.types import LLMResponse
from app.testing import FakeChatModel
from tests.running_service import QUESTION, STREAMED, events_of, opened

RESPONSE = {
    "id",
    "provider",
    "model",
    "content",
    "finish_reason",
    "usage.prompt_tokens",
    "usage.completion_tokens",
    "usage.total_tokens",
    "cost_usd",
    "cached",
    "latency_ms",
}
# The mock API sends a request id, as providers do.
ANSWERED = RESPONSE | {"provider_request_id"}
PROBLEM = {"type", "title", "status", "detail", "request_id"}
ASK = {"question": "What is a guard?", "top_k": 1}
CONTEXTS = {"contexts[].id", "contexts[].score", "contexts[].text"}
PROMPT = {"prompt.name", "prompt.version"}
ASKED = {"answer", *CONTEXTS, *PROMPT, *(f"response.{key}" for key in ANSWERED)}
EMBEDDINGS = {"model", "items[].index", "items[].embedding[]", "items[].error"}


def keys(value: object, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, member in value.items():
            yield from keys(member, f"{path}.{name}")
    elif isinstance(value, list) and value:
        for item in value:
            yield from keys(item, f"{path}[]")
    else:
        yield path.removeprefix(".")


@pytest.mark.parametrize(
    ("path", "body", "status", "expected"),
    [
        pytest.param("/v1/chat", QUESTION, 200, ANSWERED, id="chat"),
        pytest.param("/v1/ask", ASK, 200, ASKED, id="ask"),  # feature: ask
        pytest.param("/v1/embeddings", {"texts": ["a"]}, 200, EMBEDDINGS, id="embeddings"),
        pytest.param(
            "/v1/embeddings",
            {"texts": ["a", ""]},
            200,
            EMBEDDINGS | {"items[].embedding"},
            id="embeddings, one of them bad",
        ),
        pytest.param(
            "/v1/chat",
            {},
            422,
            PROBLEM | {"errors[].loc[]", "errors[].msg", "errors[].type"},
            id="a bad request",
        ),
        pytest.param("/v1/nowhere", {}, 404, PROBLEM, id="a path that is not there"),
    ],
)
async def test_an_answer_has_exactly_these_keys(
    api: httpx2.AsyncClient, path: str, body: object, status: int, expected: set[str]
) -> None:
    answer = await api.post(path, json=body)
    assert answer.status_code == status
    assert set(keys(answer.json())) == expected


class OldAnswers(FakeChatModel):
    def response(self, content: str) -> LLMResponse:
        return super().response(content).model_copy(update={"cached": True, "stale": True})


async def test_a_stale_answer_has_the_same_keys_and_stale_is_true() -> None:
    async with opened(OldAnswers()) as service:
        answer = (await service.ask()).json()
    assert set(keys(answer)) == RESPONSE | {"stale"}
    assert answer["stale"] is True


async def test_a_failure_has_exactly_these_keys() -> None:
    async with opened(FakeChatModel(ProviderTimeoutError("late"))) as service:
        assert set(keys((await service.ask()).json())) == PROBLEM


async def test_events_of_a_stream_have_exactly_these_keys(api: httpx2.AsyncClient) -> None:
    events = events_of((await api.post("/v1/chat", json=STREAMED)).text)
    found = {(name, key) for name, data in events for key in keys(json.loads(data))}
    assert found == {("delta", "text"), *(("done", key) for key in ANSWERED)}


async def test_a_broken_stream_ends_with_exactly_these_keys() -> None:
    cut = StreamInterruptedError("cut", text="Hi")
    async with opened(FakeChatModel(["Hi", cut])) as service:
        *_, (name, data) = events_of((await service.ask(stream=True)).text)
    assert (name, set(keys(json.loads(data)))) == ("error", PROBLEM | {"text"})
