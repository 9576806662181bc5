"""Calls of a limit that go on while servers of Redis change, and waits for those changes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.redis.rate_limit import RedisLimiter

CALLERS = 8
# Redis decides within some seconds; a busy machine, and a second outage of up to a minute, take longer.
LONGEST_S = 180
# Redis counts a call at its own time, and a test when it has the answer: on a busy machine up to so
# much later, in which the limit allows further calls. A limit that is forgotten allows a whole burst.
LATE_S = 1.0


@asynccontextmanager
async def calling(limiter: RedisLimiter, made: list[float], tokens: int = 0) -> AsyncIterator[None]:
    """Call again and again for the time of the block. No call may fail."""

    async def call_again_and_again() -> None:
        while True:
            await limiter.acquire(tokens)
            made.append(time.monotonic())

    calls = [asyncio.create_task(call_again_and_again()) for _ in range(CALLERS)]
    try:
        yield
    finally:
        for call in calls:
            call.cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [end for end in ends if not isinstance(end, asyncio.CancelledError)] == []


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LONGEST_S):
        while not is_true():  # noqa: ASYNC110 - of processes elsewhere
            await asyncio.sleep(0.05)
