"""Each script of limits and of the clients' ledger, on the Redis of `REDIS_TEST_URL`: one server, or a cluster.

A script that uses keys of two nodes fails on a cluster only. The scripts of the documents are run by
the contract tests of `tests/rag/contract`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from secrets import token_hex

import pytest

from app.clients.ledger import Hold, Use
from app.clients.policy import ClientLimits
from app.redis.cache import RedisCache
from app.redis.circuit import RedisCircuit
from app.redis.client import SharedRedis, open_redis
from app.redis.ledger import RedisLedger
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import LimitExceededError, RateLimitPolicy
from app.testing import CapturedLogs
from tests.redis.conftest import SERVER

# So many names that each of three nodes gets some of them.
NAMES = 12

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SERVER is None and "REDIS_TEST_URL" not in os.environ,
        reason="neither REDIS_TEST_URL nor a redis-server",
    ),
]


@pytest.fixture
async def redis(
    url: str, logs: CapturedLogs, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[SharedRedis]:
    monkeypatch.setattr("app.redis.client.TIMEOUT_S", 10.0)
    async with open_redis(url, token_hex(8)) as redis:
        yield redis
    assert logs.events("redis.unavailable") == []  # no part has worked without Redis


def names() -> list[str]:
    return [token_hex(4) for _ in range(NAMES)]


@pytest.mark.parametrize("kind", ["bucket", "strict"])
@pytest.mark.parametrize("tokens", [None, 1000], ids=["requests", "tokens"])
async def test_a_limiter_keeps_its_limit_and_returns_a_slot(
    kind: str, tokens: int | None, redis: SharedRedis
) -> None:
    policy = RateLimitPolicy(
        requests_per_minute=1, strict=kind == "strict", tokens_per_minute=tokens, max_wait_s=0
    )
    for name in names():
        one, other = (RedisLimiter(name, policy, redis) for _ in range(2))
        assert await one.acquire(10) == 0
        with pytest.raises(LimitExceededError):
            await other.acquire(10)
        await one.cancel(10)
        assert await other.acquire(10) == 0
        await other.give_back(5)


async def test_a_caller_that_leaves_returns_the_slot_that_it_waited_for(redis: SharedRedis) -> None:
    for strict in (False, True):
        policy = RateLimitPolicy(
            requests_per_minute=1, strict=strict, tokens_per_minute=100, max_wait_s=600
        )
        limiter = RedisLimiter(token_hex(4), policy, redis)
        await limiter.acquire(10)
        waiting = asyncio.create_task(limiter.acquire(10))
        await asyncio.sleep(1)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def test_a_ledger_admits_extends_and_settles(redis: SharedRedis) -> None:
    ledger, other = RedisLedger(redis), RedisLedger(redis)
    for name in names():
        hold = Hold(name, ClientLimits(concurrency=1, requests_per_minute=2), Use(10, 10))
        assert (await ledger.open(hold)).refused is None
        assert (await ledger.extend(hold, Use(5, 5))).refused is None
        second = Hold(name, hold.limits, Use(1, 1))
        assert (await other.open(second)).refused == "concurrency"
        await ledger.settle(hold, Use(12, 12))
        assert (await other.open(second)).refused is None
        assert second.is_shared


async def test_a_cache_and_a_circuit_are_shared(redis: SharedRedis) -> None:
    for name in names():
        await RedisCache(redis).set(name, b"1", 100)
        assert await RedisCache(redis).get(name) == b"1"
        await RedisCircuit(name, redis).opened(100)
        assert await RedisCircuit(name, redis).remote_open_s() > 1


async def test_a_probe_writes_to_each_node(redis: SharedRedis) -> None:
    assert await redis.check()
    assert await redis.check()  # the first call of a cluster finds its nodes
