"""A failover of a cluster or of Sentinel is a short outage, and no call fails.

Against the servers of `REDIS_TEST_URL`, of which each primary has a replica; they must allow `DEBUG`. The
tests end servers, so they run only if `REDIS_TEST_FAILOVER` is set.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, cast

import pytest
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import ConnectionError as EndedError
from redis.exceptions import TimeoutError as HangsError

from app.redis.client import SharedRedis, open_redis
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import RateLimitPolicy
from app.testing import CapturedLogs
from tests.redis.calling import LATE_S, LONGEST_S, calling, until
from tests.resilience.arrivals import overdraft

BURST, PER_MINUTE = 20, 600

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        "REDIS_TEST_FAILOVER" not in os.environ, reason="needs servers that may be ended"
    ),
]


async def hang(redis: SharedRedis, key: str) -> None:
    """Redis promotes the replica while the primary neither answers nor closes connections."""
    with suppress(EndedError, HangsError):
        await _on_primary(redis.client, key, "DEBUG", "SLEEP", "20")


async def end(redis: SharedRedis, key: str) -> None:
    with suppress(EndedError, HangsError):
        await _on_primary(redis.client, key, "SHUTDOWN", "NOSAVE")


async def _on_primary(client: Redis, key: str, *command: str) -> None:
    options: dict[str, Any] = {}
    if isinstance(client, RedisCluster):
        options["target_nodes"] = client.get_node_from_key(key)
    await cast("Awaitable[object]", client.execute_command(*command, **options))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("fail", [hang, end], ids=["hangs", "ends"])
async def test_a_failover_is_one_short_outage_without_a_failed_call(
    fail: Callable[[SharedRedis, str], Coroutine[None, None, None]],
    url: str,
    name: str,
    logs: CapturedLogs,
) -> None:
    policy = RateLimitPolicy(requests_per_minute=PER_MINUTE, burst=BURST, max_wait_s=600)
    made: list[float] = []
    async with open_redis(url) as redis, open_redis(url) as breaking:
        await breaking.client.set(breaking.tagged(name, "any"), "1")
        limiter = RedisLimiter(name, policy, redis)
        async with calling(limiter, made):
            await until(lambda: len(made) > 2 * BURST)
            failing = asyncio.create_task(fail(breaking, breaking.tagged(name, "any")))
            await until(lambda: bool(logs.events("redis.unavailable")))
            before = len(made)
            await until(lambda: bool(logs.events("redis.recovered")))
            assert len(made) > before
            await _until_shared(breaking, breaking.tagged(name, "limit", "bucket"))
        await failing
    # An outage adds one burst at most, and so does one more outage of a busy machine.
    outages = len(logs.events("redis.unavailable"))
    assert (
        overdraft(made, burst=(1 + outages) * BURST, per_minute=PER_MINUTE)
        <= LATE_S * PER_MINUTE / 60
    )


async def _until_shared(redis: SharedRedis, key: str) -> None:
    """Remove the limit's state from Redis, and wait until a call writes it again."""
    await redis.write(lambda: redis.client.delete(key), otherwise=0)
    async with asyncio.timeout(LONGEST_S):
        while not await redis.read(lambda: redis.client.exists(key), otherwise=0):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
