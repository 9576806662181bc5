"""Every fault of the wire is an error of our tree, and the pool gets its place back."""

import asyncio
from dataclasses import replace

import httpx2 as httpx
import pytest

from app.errors import (
    LLMError,
    MalformedAnswerError,
    OverloadedError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from app.llm.http import Connections, HTTPPolicy, open_connections
from app.resilience.bulkhead import QueuePolicy
from tests.llm.faults import EVENTS, FAULTS, HTML, JSON, Fault, Kind
from tests.llm.loopback import hangs, head, loopback, sends, whole
from tests.llm.samples import REQUEST, SAMPLES, Sample, ask

PATIENT = HTTPPolicy(
    max_concurrency=1,
    max_response_bytes=100_000,
    max_stream_bytes=3_000_000,
    error_body_timeout_s=0.05,
)
HURRIED = replace(PATIENT, request_timeout_s=0.05, stream_chunk_timeout_s=0.05)

Failure = type[httpx.RequestError]


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_each_fault_of_the_wire_is_one_of_our_errors(
    fault: Fault, sample: Sample, *, stream: bool
) -> None:
    body, content_type = (sample.stream, EVENTS) if stream else (sample.body, JSON)
    expected = fault.stream if stream else fault.complete
    policy = HURRIED if expected is ProviderTimeoutError else PATIENT
    async with (
        loopback(fault.reply(body, content_type)) as server,
        open_connections(policy) as connections,
    ):
        with pytest.raises(LLMError) as raised:
            await ask(sample.model(connections, server.base_url), stream=stream)
        assert type(raised.value) is expected
        assert raised.value.provider == sample.name
        assert "127.0.0.1" not in raised.value.message

        server.reply = sends(whole(content_type, body))  # the only connection was not lost
        target = Connections(connections.pools, PATIENT)
        await ask(sample.model(target, server.base_url), stream=stream)


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_port_without_a_listener_is_a_failed_connection(
    sample: Sample, unused_tcp_port: int, *, stream: bool
) -> None:
    async with open_connections(PATIENT) as connections:
        model = sample.model(connections, f"http://127.0.0.1:{unused_tcp_port}")
        with pytest.raises(ProviderConnectionError, match=f"{sample.name} could not be reached"):
            await ask(model, stream=stream)


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_silence_after_some_text_is_a_timeout(sample: Sample) -> None:
    some = b"".join(sample.frames[:-4])
    async with (
        loopback(sends(head(EVENTS) + some, every_s=9)) as server,
        open_connections(HURRIED) as connections,
    ):
        with pytest.raises(ProviderTimeoutError):
            await ask(sample.model(connections, server.base_url), stream=True)
        await server.until_idle()


@pytest.mark.usefixtures("each_transport")
async def test_a_call_waits_for_a_full_pool_and_then_fails() -> None:
    policy = HTTPPolicy(max_concurrency=1, queue=QueuePolicy(timeout_s=0.05))
    sample = SAMPLES[0]
    async with loopback(hangs) as server, open_connections(policy) as connections:
        model = sample.model(connections, server.base_url)
        first = asyncio.create_task(model.complete(REQUEST))
        await asyncio.sleep(0.02)
        with pytest.raises(OverloadedError, match="too many calls"):
            await model.complete(REQUEST)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert server.connections == 1


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_good_answer_can_be_too_large(*, stream: bool) -> None:
    sample = SAMPLES[0]
    body, content_type = (sample.stream, EVENTS) if stream else (sample.body, JSON)
    policy = replace(PATIENT, max_response_bytes=len(body) - 1, max_stream_bytes=len(body) - 1)
    async with (
        loopback(sends(whole(content_type, body))) as server,
        open_connections(policy) as connections,
    ):
        with pytest.raises(MalformedAnswerError, match=f"more than {len(body) - 1} bytes"):
            await ask(sample.model(connections, server.base_url), stream=stream)


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_an_endless_error_page_is_not_read_to_its_end(
    sample: Sample, *, stream: bool
) -> None:
    page = head(HTML, status=b"503 No")
    async with (
        loopback(sends(page, *[bytes(50_000)] * 3, every_s=0.01, hang_up=False)) as server,
        open_connections(PATIENT) as connections,
    ):
        with pytest.raises(ProviderUnavailableError):
            await ask(sample.model(connections, server.base_url), stream=stream)
        await server.until_idle()


def failures_of_the_client(root: type[httpx.RequestError] = httpx.RequestError) -> set[Failure]:
    return {root}.union(*map(failures_of_the_client, root.__subclasses__()))


def kind_of(failure: Failure) -> Kind:
    if failure is httpx.PoolTimeout:
        return OverloadedError
    if issubclass(failure, httpx.TimeoutException):
        return ProviderTimeoutError
    return (
        MalformedAnswerError
        if issubclass(failure, httpx.DecodingError)
        else ProviderConnectionError
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize(
    "failure", sorted(failures_of_the_client(), key=str), ids=lambda failure: failure.__name__
)
async def test_each_failure_of_the_client_is_one_of_our_errors_in_our_words(
    failure: Failure, sample: Sample, *, stream: bool
) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise failure("cannot reach http://user:secret@provider.test")

    async with open_connections(PATIENT, httpx.MockTransport(fail)) as connections:
        with pytest.raises(LLMError) as raised:
            await ask(sample.model(connections), stream=stream)
    assert type(raised.value) is kind_of(failure)
    assert raised.value.message.startswith(f"{sample.name} ")
    assert "secret" not in raised.value.message
