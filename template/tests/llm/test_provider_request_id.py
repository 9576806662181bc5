"""The provider's id of a call is part of its answer and of each of its errors."""

from collections.abc import Callable

import httpx2 as httpx
import pytest

from app.errors import (
    LLMError,
    MalformedAnswerError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    StreamInterruptedError,
)
from app.llm.exchange import provider_request_id
from app.llm.http import HTTPPolicy, open_connections
from app.llm.model import Provider
from app.llm.types import Done, EmbeddingRequest
from tests.llm.faults import EVENTS, JSON
from tests.llm.loopback import Reply, hangs, head, loopback, resets, sends, whole
from tests.llm.samples import OPENAI, OPENAI_SDK, REQUEST, SAMPLES, JSONObject, Sample, ask, frame

ID = b"request-id: req_42"
HURRIED = HTTPPolicy(request_timeout_s=0.3, stream_chunk_timeout_s=0.3)


async def answered_by(
    sample: Sample, reply: Reply, call: Callable[[Provider], object], policy: HTTPPolicy
) -> LLMError:
    async with loopback(reply) as server, open_connections(policy) as connections:
        model = sample.make(sample.policy(server.base_url, model="m"), connections)
        with pytest.raises(LLMError) as raised:
            await call(model)  # type: ignore[misc]  # a coroutine function
    return raised.value


def policy_for(kind: type[LLMError]) -> HTTPPolicy:
    return HURRIED if kind is ProviderTimeoutError else HTTPPolicy()


async def complete(model: Provider) -> None:
    await ask(model, stream=False)


async def stream(model: Provider) -> None:
    await ask(model, stream=True)


async def embed(model: Provider) -> None:
    await model.embed(EmbeddingRequest(("text",)))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_whole_answer_has_it(sample: Sample) -> None:
    reply = sends(whole(JSON, sample.body, ID))
    async with loopback(reply) as server, open_connections(HTTPPolicy()) as connections:
        response = await sample.model(connections, server.base_url).complete(REQUEST)
    assert response == sample.response.model_copy(update={"provider_request_id": "req_42"})


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_streamed_answer_has_it(sample: Sample) -> None:
    reply = sends(whole(EVENTS, sample.stream, ID))
    async with loopback(reply) as server, open_connections(HTTPPolicy()) as connections:
        model = sample.model(connections, server.base_url)
        *_, done = [event async for event in model.stream(REQUEST)]
    assert isinstance(done, Done)
    assert done.response.provider_request_id == "req_42"


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_an_answer_without_one_has_none(sample: Sample) -> None:
    reply = sends(whole(JSON, sample.body))
    async with loopback(reply) as server, open_connections(HTTPPolicy()) as connections:
        response = await sample.model(connections, server.base_url).complete(REQUEST)
    assert response.provider_request_id is None
    assert "provider_request_id" not in response.model_dump()


def broken(content_type: str, body: bytes) -> Reply:
    return sends(whole(content_type, body, ID)[:-9])


def silent(content_type: str, body: bytes) -> Reply:
    return sends(head(content_type, ID) + body, every_s=9)


def refused(content_type: str) -> Reply:
    return sends(whole(content_type, b"{}", ID, status=b"429 Too Many Requests"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize(
    ("reply_of", "kind"),
    [
        pytest.param(lambda _: refused(JSON), RateLimitError, id="status"),
        pytest.param(lambda _: sends(whole(JSON, b"[]", ID)), MalformedAnswerError, id="malformed"),
        pytest.param(lambda _: sends(whole(JSON, b"{no", ID)), MalformedAnswerError, id="no JSON"),
        pytest.param(
            lambda sample: broken(JSON, sample.body), ProviderConnectionError, id="cut off"
        ),
        pytest.param(lambda _: silent(JSON, b"{"), ProviderTimeoutError, id="too slow"),
    ],
)
async def test_an_error_of_a_whole_answer_has_it(
    sample: Sample, reply_of: Callable[[Sample], Reply], kind: type[LLMError]
) -> None:
    error = await answered_by(sample, reply_of(sample), complete, policy_for(kind))
    assert (type(error), error.provider_request_id) == (kind, "req_42")


def reported_in_mid_stream(sample: Sample) -> Reply:
    error: JSONObject = {"type": "error", "error": {"type": "api_error", "message": "Sorry."}}
    start = b"".join(sample.frames[: sample.silent + 1])
    name = "error" if sample.name.startswith("anthropic") else ""
    return sends(whole(EVENTS, start + frame(name, error), ID))


def some(sample: Sample) -> bytes:
    return b"".join(sample.frames[: sample.silent + 1])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize(
    ("reply_of", "kind"),
    [
        pytest.param(lambda _: refused(EVENTS), RateLimitError, id="status"),
        pytest.param(reported_in_mid_stream, ProviderUnavailableError, id="reported in mid-stream"),
        pytest.param(
            lambda sample: sends(whole(EVENTS, some(sample) + b"data: {no\n\n", ID)),
            MalformedAnswerError,
            id="malformed",
        ),
        pytest.param(
            lambda sample: sends(whole(EVENTS, some(sample), ID)),
            StreamInterruptedError,
            id="ended",
        ),
        pytest.param(
            lambda sample: broken(EVENTS, b"".join(sample.frames[: sample.finish])),
            StreamInterruptedError,
            id="cut off",
        ),
        pytest.param(
            lambda sample: silent(EVENTS, some(sample)), ProviderTimeoutError, id="silent"
        ),
    ],
)
async def test_an_error_of_a_stream_has_it(
    sample: Sample, reply_of: Callable[[Sample], Reply], kind: type[LLMError]
) -> None:
    error = await answered_by(sample, reply_of(sample), stream, policy_for(kind))
    assert (type(error), error.provider_request_id) == (kind, "req_42")


@pytest.mark.parametrize("sample", [OPENAI, OPENAI_SDK], ids=lambda sample: sample.name)
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        pytest.param(refused(JSON), RateLimitError, id="status"),
        pytest.param(sends(whole(JSON, b"[]", ID)), MalformedAnswerError, id="malformed"),
        pytest.param(sends(whole(JSON, b"", ID)), MalformedAnswerError, id="empty"),
    ],
)
async def test_an_error_of_embeddings_has_it(
    sample: Sample, reply: Reply, kind: type[LLMError]
) -> None:
    error = await answered_by(sample, reply, embed, HTTPPolicy())
    assert (type(error), error.provider_request_id) == (kind, "req_42")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("reply", [resets, hangs], ids=["reset", "no answer"])
async def test_without_an_answer_there_is_none(sample: Sample, reply: Reply) -> None:
    assert (await answered_by(sample, reply, complete, HURRIED)).provider_request_id is None


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({"X-Request-ID": "req_1"}, "req_1"),
        ({"request-id": "req_1", "x-request-id": "our own, echoed"}, "req_1"),
        ({"x-request-id": "ours", "request-id": "theirs"}, "theirs"),
        ({"apim-request-id": "a1-b2"}, "a1-b2"),
        ({"x-ms-request-id": "a1-b2"}, "a1-b2"),
        ({"cf-ray": "8c3f-FRA", "x-request-id": "req_1"}, "req_1"),
        ({"cf-ray": "8c3f-FRA"}, "8c3f-FRA"),
        ({"x-request-id": " req_1 "}, "req_1"),
        ({"x-request-id": "two words", "cf-ray": "8c3f-FRA"}, "8c3f-FRA"),
        ({"x-request-id": "x" * 129}, None),
        ({"x-request-id": "x" * 128}, "x" * 128),
        ({"x-request-id": '"<script>'}, None),
        ({"x-request-id": "ключ"}, None),
        ({"x-request-id": ""}, None),
        ({}, None),
    ],
    ids=str,
)
def test_only_a_well_formed_id_is_kept(headers: dict[str, str], known: str | None) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert provider_request_id(httpx.Headers(raw).raw) == known


def test_an_id_that_a_server_sends_twice_is_not_kept() -> None:
    twice = [(b"x-request-id", b"req_1"), (b"x-request-id", b"req_2"), (b"cf-ray", b"8c3f-FRA")]
    assert provider_request_id(twice) == "8c3f-FRA"
