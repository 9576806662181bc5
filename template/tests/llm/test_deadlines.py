"""Every wait has a deadline, and a caller that cancels first gets a cancellation, no timeout."""

import asyncio
import time
from dataclasses import replace

import pytest

from app.errors import ProviderTimeoutError
from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import Done, StreamEvent
from tests.llm.faults import EVENTS
from tests.llm.loopback import Reply, hangs, head, loopback, sends
from tests.llm.samples import ANTHROPIC, OPENAI, REQUEST, SAMPLES, Sample, ask

QUICK = HTTPPolicy(request_timeout_s=0.1, stream_chunk_timeout_s=0.1)
LATE_S = 0.15


async def received(sample: Sample, reply: Reply, policy: HTTPPolicy) -> list[StreamEvent]:
    async with loopback(reply) as server, open_connections(policy) as connections:
        stream = sample.model(connections, server.base_url).stream(REQUEST)
        return [event async for event in stream]


def thinks_first(sample: Sample) -> Reply:
    return sends(head(EVENTS), sample.stream, every_s=LATE_S)


# Not the SDKs: the first chunk that they ever read costs them a tenth of a second, which is QUICK.
@pytest.mark.parametrize("sample", [OPENAI, ANTHROPIC], ids=lambda sample: sample.name)
async def test_the_first_chunk_may_have_more_time_than_the_others(sample: Sample) -> None:
    patient_at_first = replace(QUICK, stream_first_chunk_timeout_s=10)
    *_, last = await received(sample, thinks_first(sample), patient_at_first)
    assert last == Done(sample.response)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_without_a_limit_of_its_own_the_first_chunk_has_that_of_the_others(
    sample: Sample,
) -> None:
    with pytest.raises(ProviderTimeoutError):
        await received(sample, thinks_first(sample), QUICK)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_the_timeout_of_the_first_chunk_ends_with_that_chunk(sample: Sample) -> None:
    patient_at_first = replace(QUICK, stream_first_chunk_timeout_s=10)
    silent_later = sends(head(EVENTS) + sample.frames[0], sample.stream, every_s=LATE_S)
    with pytest.raises(ProviderTimeoutError):
        await received(sample, silent_later, patient_at_first)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_the_first_chunk_may_have_less_time_than_the_others(sample: Sample) -> None:
    hurried_at_first = replace(HTTPPolicy(), stream_first_chunk_timeout_s=0.1)
    with pytest.raises(ProviderTimeoutError):
        await received(sample, thinks_first(sample), hurried_at_first)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_stream_that_never_pauses_ends_at_the_deadline(sample: Sample) -> None:
    """Each event comes in time, so only a limit on the whole can stop them."""
    endless = sends(head(EVENTS), *sample.frames[: sample.silent + 1] * 100, every_s=0.01)
    with pytest.raises(ProviderTimeoutError):
        await received(sample, endless, replace(HTTPPolicy(), max_stream_s=0.1))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_cancelled_call_is_cancelled_and_not_timed_out(
    sample: Sample, *, stream: bool
) -> None:
    """Both in one turn of the loop: the deadline has passed when the caller cancels."""
    async with loopback(hangs) as server, open_connections(QUICK) as connections:
        call = asyncio.create_task(ask(sample.model(connections, server.base_url), stream=stream))
        while not server.requests:  # noqa: ASYNC110 - it happens on the other side of a socket
            await asyncio.sleep(0.001)
        time.sleep(LATE_S)  # noqa: ASYNC251 - the deadline passes before the loop runs again
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.until_idle()


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_a_timeout_of_the_caller_is_raised_as_its_own(*, stream: bool) -> None:
    async with loopback(hangs) as server, open_connections(HTTPPolicy()) as connections:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask(SAMPLES[0].model(connections, server.base_url), stream=stream)
        await server.until_idle()
