"""The parts that keep their state in one Redis, for all processes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from app.backend import Check
from app.cache import Cache
from app.clients.ledger import Ledger
from app.redis.cache import RedisCache
from app.redis.circuit import RedisCircuit
from app.redis.client import SharedRedis, open_redis, provider_tag
from app.redis.ledger import RedisLedger
from app.redis.rate_limit import RedisLimiter
from app.resilience.circuit_breaker import SharedCircuit
from app.resilience.rate_limit import RateLimiter, RateLimitPolicy


@asynccontextmanager
async def open_backend(url: str, prefix: str) -> AsyncIterator["RedisBackend"]:
    async with open_redis(url, prefix) as redis:
        yield RedisBackend(redis)


class RedisBackend:
    def __init__(self, redis: SharedRedis) -> None:
        self._redis = redis

    @property
    def checks(self) -> Mapping[str, Check]:
        """Redis is asked even without a cache: rate limits and circuits are shared in it."""
        return {"redis": self._redis.check}

    @property
    def shared(self) -> SharedRedis:
        return self._redis

    def cache(self) -> Cache:
        return RedisCache(self._redis)

    def ledger(self) -> Ledger:
        return RedisLedger(self._redis)

    def limiter(self, policy: RateLimitPolicy, provider: str, address: str) -> RateLimiter:
        return RedisLimiter(provider_tag(provider, address), policy, self._redis)

    def circuit(self, provider: str, address: str) -> SharedCircuit:
        return RedisCircuit(provider_tag(provider, address), self._redis)
