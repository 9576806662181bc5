"""Each failure as the error class of the official SDK, in OpenAI's envelope."""

from typing import Any

import httpx2
import pytest

from app.errors import (
    AuthenticationError,
    ContextTooLongError,
    LimitReachedError,
    LLMError,
    NothingCanAnswerError,
    OverloadedError,
    ProviderTimeoutError,
    RequestRefusedError,
    StreamInterruptedError,
    UnknownModelError,
    UnsupportedRequestError,
)
from app.testing import FakeChatModel
from tests import sdk
from tests.api.openai.conftest import client_of
from tests.running_service import opened

HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]

FAILURES: dict[str, tuple[LLMError, str, int, str, str | None]] = {
    "too long": (
        ContextTooLongError("long"),
        "BadRequestError",
        400,
        "invalid_request_error",
        "context_length_exceeded",
    ),
    "refused": (
        RequestRefusedError("no"),
        "BadRequestError",
        400,
        "invalid_request_error",
        None,
    ),
    "unsupported": (
        UnsupportedRequestError("no tools"),
        "BadRequestError",
        400,
        "invalid_request_error",
        "unsupported_value",
    ),
    "unknown model": (
        UnknownModelError("x"),
        "NotFoundError",
        404,
        "invalid_request_error",
        "model_not_found",
    ),
    "our limit": (
        LimitReachedError("wait", retry_after_s=7),
        "RateLimitError",
        429,
        "requests",
        "rate_limit_exceeded",
    ),
    "overloaded": (
        OverloadedError("full", retry_after_s=2),
        "InternalServerError",
        503,
        "server_error",
        "overloaded",
    ),
    "our key": (
        AuthenticationError("key"),
        "InternalServerError",
        502,
        "server_error",
        "provider_failed",
    ),
    "late": (ProviderTimeoutError("late"), "InternalServerError", 504, "server_error", "timed_out"),
    "nothing": (
        NothingCanAnswerError([]),
        "InternalServerError",
        503,
        "server_error",
        "nothing_can_answer",
    ),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("error", "expected", "status", "kind", "code"), FAILURES.values(), ids=FAILURES
)
async def test_a_failure_is_the_sdks_error_of_its_class(
    error: LLMError, expected: str, status: int, kind: str, code: str | None, *, stream: bool
) -> None:
    async with opened(FakeChatModel(error)) as service:
        client = client_of(service.http)
        with pytest.raises(getattr(sdk.openai, expected)) as raised:
            await client.chat.completions.create(model="auto", messages=HELLO, stream=stream)
    found = raised.value
    assert (found.status_code, found.type, found.code) == (status, kind, code)
    assert error.message in found.message
    assert found.request_id is not None
    wait = error.retry_after_s
    assert found.response.headers.get("retry-after") == (None if wait is None else f"{wait:g}")


async def test_a_stream_that_breaks_off_is_an_error_after_its_text() -> None:
    cut = StreamInterruptedError("cut", text="Hi")
    async with opened(FakeChatModel(["Hi", cut])) as service:
        client = client_of(service.http)
        stream = await client.chat.completions.create(model="auto", messages=HELLO, stream=True)
        chunks = [await anext(stream), await anext(stream)]
        with pytest.raises(sdk.openai.APIError, match="cut"):
            await anext(stream)
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "Hi"]


def chat(**changes: Any) -> tuple[str, dict[str, Any]]:
    return "chat/completions", {"model": "auto", "messages": HELLO, **changes}


IMAGE = {"type": "image_url", "image_url": {"url": "http://a/b"}}
REFUSED: dict[str, tuple[tuple[str, dict[str, Any]], str]] = {
    "no messages": (chat(messages=[]), "messages"),
    "an unknown role": (chat(messages=[{"role": "god", "content": "x"}]), "messages[0].role"),
    "no content": (chat(messages=[{"role": "user"}]), "messages[0]"),
    "an http image": (
        chat(messages=[{"role": "user", "content": [IMAGE]}]),
        "messages[0].content[0].image_url.url",
    ),
    "an answer at the end": (chat(messages=[{"role": "assistant", "content": "x"}]), "messages"),
    "a result without a call": (
        chat(messages=[*HELLO, {"role": "tool", "tool_call_id": "1", "content": "x"}]),
        "messages[1].tool_call_id",
    ),
    "two answers": (chat(n=2), "n"),
    "hot": (chat(temperature=3), "temperature"),
    "a bad tool": (chat(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
    "a choice without tools": (chat(tool_choice="required"), "tool_choice"),
    "no schema": (chat(response_format={"type": "json_schema"}), "response_format"),
    "tokens": (("embeddings", {"model": "auto", "input": [1, 2]}), "input[0]"),
    "an empty text": (("embeddings", {"model": "auto", "input": ""}), "input[0]"),
    "dimensions": (("embeddings", {"model": "auto", "input": "x", "dimensions": 8}), "dimensions"),
}


@pytest.mark.parametrize(("request_", "param"), REFUSED.values(), ids=REFUSED)
async def test_a_bad_request_names_its_field(
    api: httpx2.AsyncClient, request_: tuple[str, dict[str, Any]], param: str
) -> None:
    path, body = request_
    answer = await api.post(f"/openai/v1/{path}", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("GET", "nowhere", b"", 404, "unknown_url"),
        ("GET", "models/nothing", b"", 404, "model_not_found"),
        ("GET", "chat/completions", b"", 405, None),
        ("POST", "chat/completions", b"{", 400, None),
        ("POST", "chat/completions", b'"' + b"x" * 3_000_000 + b'"', 413, None),
        ("POST", "embeddings", b'{"model": "nothing", "input": "x"}', 404, "model_not_found"),
    ],
    ids=["path", "model", "method", "no JSON", "too large", "embedding model"],
)
async def test_every_refusal_has_openais_envelope(
    api: httpx2.AsyncClient,
    method: str,
    path: str,
    content: bytes,
    *,
    status: int,
    code: str | None,
) -> None:
    headers = {"content-type": "application/json"}
    answer = await api.request(method, f"/openai/v1/{path}", content=content, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/json"
    assert "x-request-id" in answer.headers


async def test_other_paths_keep_their_problems(api: httpx2.AsyncClient) -> None:
    answer = await api.post("/v1/chat", json={})
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("failure", "own_attempts", "calls"),
    [
        pytest.param(AuthenticationError("key"), 3, 1, id="a 502 that the service has repeated"),
        pytest.param(ProviderTimeoutError("late"), 3, 1, id="a 504 that it has repeated"),
        pytest.param(AuthenticationError("key"), 1, 2, id="a 502 that it leaves to the SDK"),
        pytest.param(ProviderTimeoutError("late"), 1, 2, id="a 504 that it leaves to the SDK"),
    ],
)
async def test_retries_of_the_sdk_and_of_the_service_do_not_multiply(
    failure: LLMError, own_attempts: int, calls: int
) -> None:
    """The model of this test stands for the whole stack: one call of it is all attempts."""
    model = FakeChatModel(failure)
    async with opened(model, retry={"max_attempts": own_attempts}) as service:
        client = client_of(service.http).with_options(max_retries=1)
        with pytest.raises(sdk.openai.InternalServerError):
            await client.chat.completions.create(model="auto", messages=HELLO)
    assert len(model.requests) == calls


async def test_a_503_may_be_repeated_because_it_names_the_time() -> None:
    busy = NothingCanAnswerError([ProviderTimeoutError("busy", retry_after_s=7)])
    async with opened(FakeChatModel(busy)) as service:
        body = {"model": "auto", "messages": HELLO}
        answer = await service.http.post("/openai/v1/chat/completions", json=body)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "7")
    assert "x-should-retry" not in answer.headers
