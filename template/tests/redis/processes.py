"""Limiters of several processes on one fake Redis, in virtual time, with Redis' clock in step."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, TypeVar

import fakeredis
import pytest

from app.redis.client import SharedRedis
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import RateLimitPolicy
from tests.resilience import virtual_time

T = TypeVar("T")


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Run the calls in virtual time, which Redis' clock follows."""

    async def synchronised() -> T:
        now = asyncio.get_running_loop().time
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.time", lambda: 1_700_000_000 + now())
            return await scenario

    return virtual_time.run(synchronised())


@asynccontextmanager
async def processes(
    policy: RateLimitPolicy, number: int = 4, server: fakeredis.FakeServer | None = None
) -> AsyncIterator[list[RedisLimiter]]:
    """A number of limiters that share Redis only."""
    server = server or fakeredis.FakeServer()
    async with AsyncExitStack() as opened:
        limiters = []
        for _ in range(number):
            client = await opened.enter_async_context(fakeredis.FakeAsyncRedis(server=server))
            redis = SharedRedis(client, clock=virtual_time.now)
            await opened.enter_async_context(aclosing(redis))
            limiters.append(RedisLimiter("llm", policy, redis, clock=virtual_time.now))
        yield limiters
