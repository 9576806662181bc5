"""A status that has arrived decides, even when the body of the error breaks or never comes."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from app.errors import (
    AuthenticationError,
    LLMError,
    ProviderUnavailableError,
    RateLimitError,
    RequestRefusedError,
)
from app.llm.http import HTTPPolicy, open_connections
from app.llm.model import Provider
from app.llm.providers.policy import ProviderPolicy
from tests.llm.faults import JSON
from tests.llm.loopback import Loopback, Reply, head, loopback, sends
from tests.llm.samples import SAMPLES, Sample, ask

POLICY = HTTPPolicy(max_concurrency=1, error_body_timeout_s=0.1, request_timeout_s=5)

STATUSES: dict[bytes, type[LLMError]] = {
    b"400 Bad Request": RequestRefusedError,
    b"401 Unauthorized": AuthenticationError,
    b"429 Too Many Requests": RateLimitError,
    b"500 Internal Server Error": ProviderUnavailableError,
}
FACTS = (b"Retry-After: 20", b"X-Should-Retry: false", b"X-Request-ID: req_7", b"Request-ID: req_7")

pytestmark = pytest.mark.usefixtures("each_transport")


def resets_after(start: bytes) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await asyncio.sleep(0.01)
        writer.transport.abort()

    return reply


def stalls_after(start: bytes) -> Reply:
    return sends(start, every_s=9, hang_up=False)


def drips(start: bytes) -> Reply:
    return sends(start, *[b" "] * 100, every_s=0.03)


BodyReply = Callable[[bytes], Reply]
LENGTH, CHUNKED, GZIP = (
    b"Content-Length: 90",
    b"Transfer-Encoding: chunked",
    b"Content-Encoding: gzip",
)

BODIES: dict[str, tuple[tuple[bytes, ...], bytes, BodyReply]] = {
    "reset": ((LENGTH,), b'{"error"', resets_after),
    "short": ((LENGTH,), b'{"error"', sends),
    "bad chunk": ((CHUNKED,), b"zz\r\n{}\r\n", sends),
    "garbage gzip": ((LENGTH, GZIP), b"x" * 90, sends),
    "stalled": ((LENGTH,), b'{"error"', stalls_after),
    "no byte at all": ((LENGTH,), b"", stalls_after),
    "a byte at a time": ((LENGTH,), b"{", drips),
}


async def whole(model: Provider) -> None:
    await ask(model, stream=False)


async def streamed(model: Provider) -> None:
    await ask(model, stream=True)


async def ping(model: Provider) -> None:
    await model.ping()


async def failure(
    sample: Sample,
    server: Loopback,
    call: Callable[[Provider], object],
    policy: HTTPPolicy = POLICY,
) -> LLMError:
    async with open_connections(policy) as connections:
        model = sample.make(ProviderPolicy(server.base_url, model="m"), connections)
        with pytest.raises(LLMError) as raised:
            await call(model)  # type: ignore[misc]  # each of the three is a coroutine function
        await server.until_idle()
    return raised.value


@pytest.mark.parametrize("call", [whole, streamed, ping])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
@pytest.mark.parametrize(
    "status",
    [
        pytest.param(status, id=status[:3].decode(), marks=[pytest.mark.slow] if number else [])
        for number, status in enumerate(STATUSES)
    ],
)
async def test_the_status_and_the_headers_decide(
    status: bytes,
    body: tuple[tuple[bytes, ...], bytes, BodyReply],
    sample: Sample,
    call: Callable[[Provider], object],
) -> None:
    headers, start, reply = body
    answer = head(JSON, *FACTS, *headers, status=status) + start
    async with loopback(reply(answer)) as server, asyncio.timeout(3):
        error = await failure(sample, server, call)
        assert type(error) is STATUSES[status]
        assert error.status == int(status[:3])
        assert error.retry_after_s == 20
        assert error.should_retry is False
        assert error.provider_request_id == "req_7"
        assert len(server.requests) == 1


@pytest.mark.slow
@pytest.mark.parametrize("call", [whole, streamed, ping])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_the_deadline_of_the_call_does_not_hide_a_status_that_came_in_time(
    sample: Sample, call: Callable[[Provider], object]
) -> None:
    late = replace(
        POLICY, request_timeout_s=0.3, stream_chunk_timeout_s=0.3, error_body_timeout_s=0.5
    )
    answer = head(JSON, LENGTH, *FACTS, status=b"429 Too Many Requests")
    async with loopback(stalls_after(answer)) as server:
        error = await failure(sample, server, call, late)
    assert type(error) is RateLimitError


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_truncated_error_body_is_the_reason_as_far_as_it_arrived(sample: Sample) -> None:
    body = b'{"type": "error", "error": {"type": "x", "message": "Slow down."}}'
    answer = head(JSON, LENGTH, status=b"429 Too Many Requests") + body
    async with loopback(sends(answer)) as server:
        error = await failure(sample, server, whole)
    assert error.message == f"{sample.name} answered 429: Slow down."
