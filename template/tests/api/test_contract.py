"""What callers rely on, key by key: whoever changes one of these breaks somebody's program."""

import json
from collections.abc import Iterator

import httpx2
import pytest

from app.errors import StreamInterrupted, TimedOut
from app.llm.types import LLMResponse
from app.testing import FakeChatModel
from tests.door import QUESTION, STREAMED, events_of, opened

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
PROBLEM = {"type", "title", "status", "detail", "request_id"}
ASKED = {"answer", "contexts[].id", "contexts[].score", "contexts[].text"}
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
        pytest.param("/v1/chat", QUESTION, 200, RESPONSE, id="chat"),
        pytest.param(
            "/v1/ask",
            {"question": "What is a guard?", "top_k": 1},
            200,
            ASKED | {f"response.{key}" for key in RESPONSE},
            id="ask",
        ),
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


async def test_a_stale_answer_says_so_and_has_no_other_keys() -> None:
    async with opened(OldAnswers()) as door:
        answer = (await door.ask()).json()
    assert set(keys(answer)) == RESPONSE | {"stale"}
    assert answer["stale"] is True


async def test_a_failure_has_exactly_these_keys() -> None:
    async with opened(FakeChatModel(TimedOut("late"))) as door:
        assert set(keys((await door.ask()).json())) == PROBLEM


async def test_events_of_a_stream_have_exactly_these_keys(api: httpx2.AsyncClient) -> None:
    events = events_of((await api.post("/v1/chat", json=STREAMED)).text)
    found = {(name, key) for name, data in events for key in keys(json.loads(data))}
    assert found == {("delta", "text"), *(("done", key) for key in RESPONSE)}


async def test_a_broken_stream_ends_with_exactly_these_keys() -> None:
    cut = StreamInterrupted("cut", text="Hi")
    async with opened(FakeChatModel(["Hi", cut])) as door:
        *_, (name, data) = events_of((await door.ask(stream=True)).text)
    assert (name, set(keys(json.loads(data)))) == ("error", PROBLEM | {"text"})
