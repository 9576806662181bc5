"""All users of one Redis share its guard, and none its keys."""

from collections.abc import Awaitable, Callable

import fakeredis

from app.redis.cache import RedisCache
from app.redis.circuit import RedisCircuit
from app.redis.client import SharedRedis, provider_tag
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import RateLimitPolicy
from app.testing import CapturedLogs
from tests.redis.stepped_clock import SteppedClock
from tests.redis.test_redis_client import events

Use = Callable[[], Awaitable[object]]


def users_of(redis: SharedRedis) -> list[Use]:
    """A cache, and the limits and circuits of two providers."""
    cache, policy = RedisCache(redis), RateLimitPolicy(requests_per_minute=10_000)
    limiters = [RedisLimiter(name, policy, redis) for name in ("one", "two")]
    circuits = [RedisCircuit(name, redis) for name in ("one", "two")]
    return [
        lambda: cache.get("a"),
        *[limiter.acquire for limiter in limiters],
        *[circuit.remote_open_s for circuit in circuits],
        lambda: cache.set("a", b"1", 10),
    ]


async def test_all_users_have_one_line_at_the_start_and_one_at_the_end(
    logs: CapturedLogs,
) -> None:
    server, clock = fakeredis.FakeServer(), SteppedClock()
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        redis = SharedRedis(client, clock=clock.monotonic, sleep=clock.sleep)
        users = users_of(redis)
        for connected in (True, False, True):
            server.connected = connected
            for _ in range(4):
                for use in users:
                    await use()
                await clock.advance(1)
    assert events(logs) == ["redis.unavailable", "redis.recovered"]


async def test_two_prefixes_share_nothing() -> None:
    server = fakeredis.FakeServer()
    policy = RateLimitPolicy(requests_per_minute=1, max_wait_s=0)
    async with (
        fakeredis.FakeAsyncRedis(server=server) as first,
        fakeredis.FakeAsyncRedis(server=server) as second,
    ):
        one, two = SharedRedis(first, "shop:prod"), SharedRedis(second, "shop:staging")
        await RedisCache(one).set("a", b"1", 10)
        await RedisLimiter("llm", policy, one).acquire()
        await RedisCircuit("llm", one).opened(30)
        assert await RedisCache(two).get("a") is None
        assert await RedisLimiter("llm", policy, two).acquire() == 0
        assert await RedisCircuit("llm", two).remote_open_s() == 0


def test_a_tag_names_the_provider_and_hides_the_address() -> None:
    tags = {
        provider_tag("openai", "https://user:secret@one.test/v1"),
        provider_tag("openai", "https://two.test/v1"),
        provider_tag("openai-sdk", "https://two.test/v1"),
    }
    assert len(tags) == 3
    assert all(tag.startswith("openai") for tag in tags)
    assert "secret" not in str(tags)
