"""Each race has a loser, which is cancelled at any moment of its call."""

import asyncio
import random

import pytest

from app.errors import LLMError
from app.llm.http import HTTPPolicy, open_connections
from app.llm.model import ChatModel, open_stream
from app.llm.opened_stream import OpenedStream
from app.resilience.bulkhead import QueuePolicy
from app.resilience.concurrency import gather_bounded
from app.resilience.race import first_completed, start
from tests.llm.loopback import Reply, head, loopback, whole
from tests.llm.samples import OPENAI, REQUEST

PLACES = 10
RACES = 5_000  # of answers, and as many of streams
WHOLE = whole("application/json", OPENAI.body)
STREAM = head("text/event-stream") + OPENAI.stream


def straggling(body: bytes, *, hang_up: bool) -> Reply:
    chance = random.Random(1)  # noqa: S311 - reproducible

    async def reply(writer: asyncio.StreamWriter) -> None:
        for piece in (body[: len(body) // 2], body[len(body) // 2 :]):
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.003]))
            writer.write(piece)
        if hang_up:
            writer.close()

    return reply


def meeting(body: bytes) -> Reply:
    """An answer for each, as soon as the whole pool is there."""
    everybody = asyncio.Barrier(PLACES)

    async def reply(writer: asyncio.StreamWriter) -> None:
        await everybody.wait()
        writer.write(body)

    return reply


async def race(model: ChatModel) -> None:
    calls = [start(lambda: model.complete(REQUEST)) for _ in range(2)]
    await first_completed(calls, catch=LLMError)


async def race_of_streams(model: ChatModel) -> None:
    calls = [start(lambda: open_stream(model, REQUEST)) for _ in range(2)]
    winner = await first_completed(calls, catch=LLMError, discard=OpenedStream.aclose)
    await winner.aclose()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "streamed"])
async def test_ten_thousand_losers_lose_no_place_in_the_pool(*, stream: bool) -> None:
    policy = HTTPPolicy(max_concurrency=PLACES, queue=QueuePolicy(length=PLACES, timeout_s=60))
    reply = straggling(STREAM if stream else WHOLE, hang_up=stream)
    async with loopback(reply) as server, open_connections(policy) as connections:
        model = OPENAI.model(connections, server.base_url)
        one = race_of_streams if stream else race
        results = await gather_bounded([model] * RACES, one, limit=PLACES, catch=LLMError)
        assert results == [None] * RACES

        server.reply = meeting(WHOLE)
        async with asyncio.timeout(10):
            await asyncio.gather(*(model.complete(REQUEST) for _ in range(PLACES)))
    assert len(asyncio.all_tasks()) == 1
