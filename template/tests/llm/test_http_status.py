import json

import httpx2 as httpx
import pytest

from app.errors import (
    AuthenticationError,
    LLMError,
    MalformedAnswerError,
    ModelNotFoundError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
)
from app.llm.http import HTTPPolicy, open_connections
from tests.llm.samples import ANTHROPIC, OPENAI, REQUEST, SAMPLES, Sample

KINDS: dict[int, type[LLMError]] = {
    204: MalformedAnswerError,
    302: MalformedAnswerError,
    400: RequestRefusedError,
    401: AuthenticationError,
    402: QuotaExhaustedError,
    403: AuthenticationError,
    404: ModelNotFoundError,
    405: RequestRefusedError,
    408: ProviderUnavailableError,
    409: ProviderUnavailableError,
    413: RequestRefusedError,
    418: RequestRefusedError,
    422: RequestRefusedError,
    429: RateLimitError,
    500: ProviderUnavailableError,
    502: ProviderUnavailableError,
    503: ProviderUnavailableError,
    504: ProviderUnavailableError,
    529: ProviderUnavailableError,
    599: ProviderUnavailableError,
}


async def failure(
    sample: Sample,
    status: int,
    body: object,
    *,
    stream: bool = False,
    headers: dict[str, str] | None = None,
) -> LLMError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    transport = httpx.MockTransport(
        lambda _: httpx.Response(status, content=content, headers=headers)
    )
    async with open_connections(HTTPPolicy(), transport) as connections:
        model = sample.model(connections)
        with pytest.raises(LLMError) as raised:
            await (anext(model.stream(REQUEST)) if stream else model.complete(REQUEST))
    return raised.value


def error_body(message: str, kind: str = "some_error", code: str | None = None) -> object:
    return {"type": "error", "error": {"message": message, "type": kind, "code": code}}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("status", KINDS)
async def test_each_status_is_one_of_our_errors(
    status: int, sample: Sample, *, stream: bool
) -> None:
    error = await failure(sample, status, error_body("It went wrong."), stream=stream)
    assert type(error) is KINDS[status]
    assert error.status == status
    assert error.provider == sample.name
    assert error.message == f"{sample.name} answered {status}: It went wrong."


@pytest.mark.parametrize("body", [b"", b"<html>", b"null", b"\xff\xfe", b"{" * 90_000], ids=repr)
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_body_without_a_message_leaves_the_status(sample: Sample, body: bytes) -> None:
    error = await failure(sample, 503, body)
    assert type(error) is ProviderUnavailableError
    assert error.message == f"{sample.name} answered 503"


@pytest.mark.parametrize(
    ("sample", "body"),
    [
        pytest.param(OPENAI, error_body("You exceeded", "insufficient_quota"), id="openai type"),
        pytest.param(OPENAI, error_body("You exceeded", "x", "insufficient_quota"), id="its code"),
        pytest.param(ANTHROPIC, error_body("No credit", "billing_error"), id="anthropic type"),
        pytest.param(
            ANTHROPIC,
            {
                "type": "error",
                "error": {
                    "type": "rate_limit_error",
                    "message": "Limit",
                    "details": {"error_code": "enforced_spend_limit_reached"},
                },
            },
            id="anthropic details",
        ),
    ],
)
async def test_a_429_about_money_is_not_about_the_pace(sample: Sample, body: object) -> None:
    assert type(await failure(sample, 429, body)) is QuotaExhaustedError


@pytest.mark.parametrize(
    ("said", "known"),
    [("true", True), ("false", False), (" TRUE ", True), ("1", None), ("", None)],
    ids=["yes", "no", "loudly", "unclear", "empty"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_header_x_should_retry_decides_about_a_retry(
    *, said: str, known: bool | None, stream: bool
) -> None:
    headers = {"X-Should-Retry": said}
    error = await failure(ANTHROPIC, 529, error_body("Busy"), stream=stream, headers=headers)
    assert error.should_retry is known


async def test_the_pause_that_the_provider_asks_for_is_a_fact_of_the_error() -> None:
    error = await failure(OPENAI, 429, error_body("Slow down"), headers={"Retry-After": "12"})
    assert error.retry_after_s == 12


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("a\n b\t c", "a b c", id="one line"),
        pytest.param("Wrong key: sk-proj-abc***XYZ.", "Wrong key: (key).", id="key"),
        pytest.param("Bearer abcdef is wrong", "(key) is wrong", id="bearer"),
        pytest.param("see https://x.test/keys?a=b now", "see (link) now", id="address"),
        pytest.param("wrong password=hunter2", "wrong password=***", id="password"),
        pytest.param("x" * 5_000, "x" * 199 + "…", id="long"),
    ],
)
async def test_a_message_is_short_and_holds_no_secrets(said: str, shown: str) -> None:
    error = await failure(OPENAI, 401, error_body(said))
    assert error.message == f"openai answered 401: {shown}"


async def test_a_pause_in_a_header_precedes_one_in_the_body() -> None:
    body = {"error": {"message": "Slow down", "retry_after": 7}}
    assert (await failure(OPENAI, 429, body)).retry_after_s == 7
    error = await failure(OPENAI, 429, body, headers={"retry-after": "3"})
    assert error.retry_after_s == 3


@pytest.mark.parametrize("status", [201, 202, 203])
async def test_an_answer_with_another_status_of_success_is_an_answer(status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json=OPENAI.answer))
    async with open_connections(HTTPPolicy(), transport) as connections:
        response = await OPENAI.model(connections).complete(REQUEST)
    assert response.content
