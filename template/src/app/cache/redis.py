"""A cache that all processes share. A lookup that fails is a miss."""

import time
from collections.abc import Callable

import structlog
from redis.asyncio import Redis

from app.shared_redis import Outages

_log = structlog.get_logger(__name__)


class RedisCache:
    """Entries under `prefix` in a Redis whose connections belong to whoever opened them."""

    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "app:",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._outages = Outages(
            began=lambda error: _log.warning("cache.unavailable", error=type(error).__name__),
            ended=lambda: _log.info("cache.recovered"),
            clock=clock,
        )

    async def get(self, key: str) -> bytes | None:
        value = await self._outages.survived(
            lambda: self._client.get(self._prefix + key), otherwise=None
        )
        return value.encode() if isinstance(value, str) else value

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        ttl_ms = max(1, round(ttl_s * 1000))
        await self._outages.survived(
            lambda: self._client.set(self._prefix + key, value, px=ttl_ms), otherwise=None
        )

    async def ping(self) -> bool:
        return await self._outages.tried(self._client.ping, otherwise=False)

    async def aclose(self) -> None:
        pass
