"""A cancelled call frees its connection and its place in the pool."""

import asyncio
from contextlib import aclosing

import pytest

from app.errors import OverloadedError
from app.llm.http import HTTPPolicy, open_connections
from app.llm.model import ChatModel
from app.llm.types import Done, TextDelta
from app.resilience.bulkhead import QueuePolicy
from tests.llm.loopback import hangs, head, loopback, sends, whole
from tests.llm.samples import REQUEST, SAMPLES, TEXT, Sample

EVENTS = "text/event-stream"
PROMPT_S = 4  # a few milliseconds; the server would hold the connection for nine seconds

pytestmark = pytest.mark.usefixtures("each_transport")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_closing_a_stream_closes_its_connection(sample: Sample) -> None:
    some = b"".join(sample.frames[:-4])
    async with (
        loopback(sends(head(EVENTS) + some, every_s=9)) as server,
        open_connections(HTTPPolicy()) as connections,
    ):
        async with aclosing(sample.model(connections, server.base_url).stream(REQUEST)) as events:
            assert isinstance(await anext(events), TextDelta)
            assert server.open == 1
        async with asyncio.timeout(PROMPT_S):
            await server.until_idle()


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_cancelling_the_reader_of_a_stream_closes_its_connection(sample: Sample) -> None:
    some = b"".join(sample.frames[:-4])
    heard = asyncio.Event()

    async def listen(model: ChatModel) -> None:
        async with aclosing(model.stream(REQUEST)) as events:
            async for _ in events:
                heard.set()

    async with (
        loopback(sends(head(EVENTS) + some, every_s=9)) as server,
        open_connections(HTTPPolicy()) as connections,
    ):
        listener = asyncio.create_task(listen(sample.model(connections, server.base_url)))
        await heard.wait()
        listener.cancel()
        async with asyncio.timeout(PROMPT_S):
            await asyncio.gather(listener, return_exceptions=True)
            await server.until_idle()


async def test_many_cancelled_calls_lose_no_place_in_the_pool() -> None:
    sample = SAMPLES[0]
    policy = HTTPPolicy(max_concurrency=5, queue=QueuePolicy(length=10, timeout_s=1))
    async with loopback(hangs) as server, open_connections(policy) as connections:
        model = sample.model(connections, server.base_url)
        for wait_s in [0, 0.0005, 0.001, 0.002, 0.005] * 4:
            calls = [asyncio.create_task(model.complete(REQUEST)) for _ in range(15)]
            await asyncio.sleep(wait_s)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        server.reply = sends(whole("application/json", sample.body), hang_up=False)
        answers = await asyncio.gather(*(model.complete(REQUEST) for _ in range(15)))
    assert [answer.content for answer in answers] == [TEXT] * 15


async def test_a_pool_of_five_has_five_connections_however_many_call() -> None:
    sample = SAMPLES[0]
    body = whole("application/json", sample.body)
    async with (
        loopback(sends(b"", body, every_s=0.005, hang_up=False)) as server,
        open_connections(
            HTTPPolicy(max_concurrency=5, queue=QueuePolicy(length=45))
        ) as connections,
    ):
        model = sample.model(connections, server.base_url)
        await asyncio.gather(*(model.complete(REQUEST) for _ in range(50)))
        assert server.connections == 5


async def test_waiting_too_long_for_a_connection_is_not_a_failure_of_the_provider() -> None:
    policy = HTTPPolicy(max_concurrency=1, queue=QueuePolicy(timeout_s=0.01))
    async with loopback(hangs) as server, open_connections(policy) as connections:
        model = SAMPLES[0].model(connections, server.base_url)
        first = asyncio.create_task(model.complete(REQUEST))
        await asyncio.sleep(0.01)
        with pytest.raises(OverloadedError, match="too many calls"):
            await model.complete(REQUEST)
        first.cancel()
        await asyncio.wait([first])


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_stream_that_was_read_to_its_end_leaves_its_connection_for_the_next(
    sample: Sample,
) -> None:
    async with (
        loopback(sends(whole(EVENTS, sample.stream), hang_up=False)) as server,
        open_connections(HTTPPolicy()) as connections,
    ):
        model = sample.model(connections, server.base_url)
        for _ in range(3):
            *_, last = [event async for event in model.stream(REQUEST)]
            assert isinstance(last, Done)
        assert server.connections == 1


async def test_a_finished_stream_ends_although_the_server_keeps_it_open() -> None:
    sample = SAMPLES[0]
    async with (
        loopback(sends(head(EVENTS) + sample.stream, every_s=9)) as server,
        open_connections(HTTPPolicy()) as connections,
    ):
        async with asyncio.timeout(PROMPT_S):
            *_, last = [e async for e in sample.model(connections, server.base_url).stream(REQUEST)]
        assert last == Done(sample.response)
        await server.until_idle()
