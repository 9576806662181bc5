"""Errors in any envelope become the typed error of their code, and keep their reason."""

import json

import httpx2 as httpx
import pytest

from app.errors import (
    AuthenticationError,
    ContextTooLongError,
    LLMError,
    ModelNotFoundError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
)
from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import TextDelta
from tests.llm.samples import PIECES, REQUEST, SAMPLES, Sample, ask, frame

SAID = "It broke"

# What servers send, and the error that it is.
ENVELOPES: dict[str, tuple[object, type[LLMError]]] = {
    "a numeric code": ({"error": {"message": SAID, "code": 429}}, RateLimitError),
    "a number as text": ({"error": {"message": SAID, "code": "503"}}, ProviderUnavailableError),
    "a float": ({"error": {"message": SAID, "code": 401.0}}, AuthenticationError),
    "a code in words": (
        {"error": {"message": SAID, "code": "rate_limit_exceeded"}},
        RateLimitError,
    ),
    "a type": ({"error": {"message": SAID, "type": "authentication_error"}}, AuthenticationError),
    "a type of vLLM": ({"error": {"message": SAID, "type": "NotFoundError"}}, ModelNotFoundError),
    "a text": ({"error": SAID}, ProviderUnavailableError),
    "a text and a status": ({"error": SAID, "status": 404}, ModelNotFoundError),
    "true": ({"error": True, "message": SAID, "code": 400}, RequestRefusedError),
    "Gemini's list": (
        [{"error": {"message": SAID, "code": 429, "status": "RESOURCE_EXHAUSTED"}}],
        RateLimitError,
    ),
    "gRPC's status": (
        {"error": {"message": SAID, "status": "UNAUTHENTICATED"}},
        AuthenticationError,
    ),
    "FastAPI's detail": ({"detail": SAID}, ProviderUnavailableError),
    "FastAPI's list": (
        {"detail": [{"loc": ["body"], "msg": SAID, "type": "x"}]},
        ProviderUnavailableError,
    ),
    "a detail with an error": (
        {"detail": {"error": {"message": SAID, "code": 429}}},
        RateLimitError,
    ),
    "vLLM's object": (
        {"object": "error", "message": SAID, "type": "BadRequestError", "code": 400},
        RequestRefusedError,
    ),
    "a message and a code": ({"message": SAID, "code": 403}, AuthenticationError),
    "a message": ({"message": SAID}, ProviderUnavailableError),
    "Bedrock's": ({"message": SAID, "__type": "ThrottlingException"}, RateLimitError),
    "Cloudflare's": (
        {"success": False, "errors": [{"code": 1000, "message": SAID}]},
        ProviderUnavailableError,
    ),
    "DeepInfra's": (
        {"choices": None, "error_type": "BadRequestError", "error_message": SAID},
        RequestRefusedError,
    ),
    "MiniMax's": (
        {"base_resp": {"status_code": 1004, "status_msg": SAID}},
        ProviderUnavailableError,
    ),
    "Anthropic's": (
        {"type": "error", "error": {"type": "overloaded_error", "message": SAID}},
        ProviderUnavailableError,
    ),
    "Anthropic's, flat": ({"type": "error", "message": SAID, "code": 429}, RateLimitError),
    "OpenRouter's": (
        {
            "error": {
                "message": "Provider returned error",
                "code": 429,
                "metadata": {"raw": json.dumps({"error": {"message": SAID}})},
            }
        },
        RateLimitError,
    ),
    "OpenRouter's choice": (
        {
            "choices": [
                {
                    "index": 0,
                    "delta": {},
                    "message": {},
                    "finish_reason": "error",
                    "error": {"code": 502, "message": SAID},
                }
            ]
        },
        ProviderUnavailableError,
    ),
    "a status in words": ({"status": "error", "message": SAID}, ProviderUnavailableError),
}
envelopes = pytest.mark.parametrize(("envelope", "kind"), ENVELOPES.values(), ids=ENVELOPES)
samples = pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)


async def failure(sample: Sample, body: bytes, *, stream: bool, content_type: str) -> LLMError:
    headers = {"Content-Type": content_type}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body, headers=headers))
    async with open_connections(HTTPPolicy(), transport) as connections:
        with pytest.raises(LLMError) as raised:
            await ask(sample.model(connections), stream=stream)
    return raised.value


def is_told(error: LLMError, kind: type[LLMError]) -> None:
    assert type(error) is kind
    assert SAID in error.message
    assert "answered" not in error.message


@envelopes
@samples
async def test_an_error_in_an_answer_with_status_200_is_typed(
    sample: Sample, envelope: object, kind: type[LLMError]
) -> None:
    body = json.dumps(envelope).encode()
    is_told(await failure(sample, body, stream=False, content_type="application/json"), kind)


@pytest.mark.parametrize(
    "beside",
    [
        {"error": {"message": SAID, "code": 429}},
        {"type": "error", "message": SAID, "code": 429},
        {"choices": [{"error": {"message": SAID, "code": 429}}]},
    ],
    ids=["an error", "a type", "a choice"],
)
@samples
async def test_an_error_beside_an_answer_is_typed(
    sample: Sample, beside: dict[str, object]
) -> None:
    body = json.dumps({**json.loads(sample.body), **beside}).encode()
    error = await failure(sample, body, stream=False, content_type="application/json")
    is_told(error, RateLimitError)


@envelopes
@samples
async def test_an_error_instead_of_a_stream_is_typed(
    sample: Sample, envelope: object, kind: type[LLMError]
) -> None:
    body = json.dumps(envelope).encode()
    is_told(await failure(sample, body, stream=True, content_type="application/json"), kind)


@pytest.mark.parametrize("name", ["", "error"], ids=["an event", "an event named error"])
@envelopes
@samples
async def test_an_error_within_a_stream_is_typed_and_keeps_the_text(
    sample: Sample, envelope: object, kind: type[LLMError], name: str
) -> None:
    body = b"".join(sample.frames[: sample.silent + 1]) + frame(name, json.dumps(envelope))
    error = await failure(sample, body, stream=True, content_type="text/event-stream")
    is_told(error, kind)
    assert error.text == PIECES[0]


@samples
async def test_an_error_event_may_be_plain_text(sample: Sample) -> None:
    body = frame("error", SAID)
    error = await failure(sample, body, stream=True, content_type="text/event-stream")
    is_told(error, ProviderUnavailableError)


@samples
@pytest.mark.parametrize(
    "nothing", [None, {}, [], "", False, 0, {"code": 0, "message": ""}], ids=repr
)
async def test_an_empty_error_is_none(sample: Sample, nothing: object) -> None:
    body = json.dumps({**sample.answer, "error": nothing}).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with open_connections(HTTPPolicy(), transport) as connections:
        assert (await sample.model(connections).complete(REQUEST)) == sample.response


async def answered(status: int, body: object, *, stream: bool = False) -> LLMError:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    async with open_connections(HTTPPolicy(), transport) as connections:
        with pytest.raises(LLMError) as raised:
            await ask(SAMPLES[0].model(connections), stream=stream)
    return raised.value


@pytest.mark.parametrize(
    "body",
    [
        SAID.encode(),
        {"detail": SAID},
        {"error": SAID},
        [{"error": {"message": SAID}}],
        {"message": SAID},
        SAID,
    ],
    ids=["plain", "detail", "text", "list", "message", "a JSON text"],
)
async def test_the_reason_of_a_failed_answer_is_kept(body: object) -> None:
    assert (await answered(503, body)).message == f"openai answered 503: {SAID}"


async def test_a_long_reason_is_cut() -> None:
    assert len((await answered(503, b"x" * 50_000)).message) < 300


# The sentences that providers send, with their status.
SENTENCES: list[tuple[int, str, type[LLMError]]] = [
    (400, "Your credit balance is too low to access the Anthropic API.", QuotaExhaustedError),
    (400, "You have reached your specified API usage limits. You will regain access on 2026-12-01.", QuotaExhaustedError),
    (400, "Billing hard limit has been reached", QuotaExhaustedError),
    (402, "Insufficient Balance", QuotaExhaustedError),
    (402, "This request requires more credits, or fewer max_tokens.", QuotaExhaustedError),
    (403, "Your team has either used all available credits or reached its monthly spending limit.", QuotaExhaustedError),
    (403, "This API method requires billing to be enabled.", QuotaExhaustedError),
    (429, "You exceeded your current quota, please check your plan and billing details.", QuotaExhaustedError),
    (429, "Your account is not active, please check your billing details on our website.", QuotaExhaustedError),
    (400, "This organization has been disabled.", AuthenticationError),
    (400, "API key not valid. Please pass a valid API key.", AuthenticationError),
    (400, "API key expired. Please renew the API key.", AuthenticationError),
    (400, "Incorrect API key provided: xa***1.", AuthenticationError),
    (400, "User location is not supported for the API use.", AuthenticationError),
    (400, "foo/bar is not a valid model ID", ModelNotFoundError),
    (400, "Invalid model: foo", ModelNotFoundError),
    (400, "The provided model identifier is invalid.", ModelNotFoundError),
    (400, "Model Not Exist", ModelNotFoundError),
    (400, "The model `foo` has been decommissioned and is no longer supported.", ModelNotFoundError),
    (400, "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.", ContextTooLongError),
    (400, "prompt is too long: 213462 tokens > 200000 maximum", ContextTooLongError),
    (400, "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000", ContextTooLongError),
    (400, "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).", ContextTooLongError),
    (400, "the request exceeds the available context size, try increasing it", ContextTooLongError),
    (400, "Your input exceeds the context window of this model.", ContextTooLongError),
    (400, "Input is too long for requested model.", ContextTooLongError),
    (413, "Please reduce the length of the messages or completion.", ContextTooLongError),
    (422, "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096", ContextTooLongError),
    (400, "Range of input length should be [1, 30720]", ContextTooLongError),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "sentence", "kind"), SENTENCES, ids=lambda value: str(value)[:30]
)
async def test_a_sentence_decides_where_the_status_does_not(
    status: int, sentence: str, kind: type[LLMError]
) -> None:
    body = {"error": {"message": sentence, "type": "invalid_request_error"}}
    assert type(await answered(status, body)) is kind
    assert type(await answered(200, {"error": {"message": sentence, "code": status}})) is kind


@pytest.mark.parametrize(
    "sentence",
    [
        "Invalid value for messages[0].content: 'my credit balance is too low'",
        'Unknown field "API key not valid. Please pass a valid API key"',
        "temperature is too high" + " " * 300 + "prompt is too long",
        "max_tokens is too large: 99999. This model supports at most 4096 completion tokens",
        "Invalid model output format",
        "messages.1: the role must be user",
        "tools are not supported",
    ],
    ids=lambda sentence: sentence[:20],
)
async def test_words_of_the_caller_and_other_mistakes_stay_refused_requests(sentence: str) -> None:
    assert type(await answered(400, {"error": {"message": sentence}})) is RequestRefusedError


CODES = [
    (400, "context_length_exceeded", ContextTooLongError),
    (400, "exceed_context_size_error", ContextTooLongError),
    (400, "model_not_found", ModelNotFoundError),
    (400, "Arrearage", QuotaExhaustedError),
    (400, "invalid_api_key", AuthenticationError),
    (429, "insufficient_quota", QuotaExhaustedError),
]


@pytest.mark.parametrize(("status", "code", "kind"), CODES, ids=str)
async def test_a_code_decides_where_the_status_does_not(
    status: int, code: str, kind: type[LLMError]
) -> None:
    assert type(await answered(status, {"error": {"message": SAID, "code": code}})) is kind


async def test_gemini_names_the_bad_key_in_its_details() -> None:
    details = [{"reason": "API_KEY_INVALID"}]
    body = [{"error": {"code": 400, "message": SAID, "details": details}}]
    assert type(await answered(400, body)) is AuthenticationError


async def test_a_500_stays_the_providers_failure() -> None:
    error = await answered(500, {"error": {"message": "prompt is too long: 3 > 2"}})
    assert type(error) is ProviderUnavailableError


async def test_text_before_an_error_was_streamed() -> None:
    sample = SAMPLES[0]
    body = b"".join(sample.frames[: sample.silent + 1]) + frame("", {"error": SAID})
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    async with open_connections(HTTPPolicy(), transport) as connections:
        events = sample.model(connections).stream(REQUEST)
        assert await anext(events) == TextDelta(PIECES[0])
        with pytest.raises(ProviderUnavailableError):
            await anext(events)
