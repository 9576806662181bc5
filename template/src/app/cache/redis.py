"""A cache that all processes share, and that may be gone at any time.

A lookup that fails is a miss. After a failure Redis is left alone for a moment: one that hangs
would otherwise add its timeout to every request of the service.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Self, TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

_log = structlog.get_logger(__name__)
_TIMEOUT_S = 0.5
_PAUSE_AFTER_FAILURE_S = 2.0

T = TypeVar("T")


class RedisCache:
    def __init__(
        self,
        client: Redis,
        *,
        prefix: str = "app:",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._available = True
        self._left_alone_until = float("-inf")

    @classmethod
    def at(cls, url: str, *, max_connections: int = 100) -> Self:
        return cls(
            Redis.from_url(
                url,
                socket_connect_timeout=_TIMEOUT_S,
                socket_timeout=_TIMEOUT_S,
                max_connections=max_connections,
                retry=Retry(NoBackoff(), 0),  # redis-py's own retries multiply the timeout
            )
        )

    async def get(self, key: str) -> bytes | None:
        if self._clock() < self._left_alone_until:
            return None
        value = await self._tried(self._client.get(self._prefix + key), otherwise=None)
        return value.encode() if isinstance(value, str) else value

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        if self._clock() < self._left_alone_until:
            return
        ttl_ms = max(1, round(ttl_s * 1000))
        await self._tried(self._client.set(self._prefix + key, value, px=ttl_ms), otherwise=None)

    async def ping(self) -> bool:
        return await self._tried(self._client.ping(), otherwise=False)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _tried(self, command: Awaitable[T], *, otherwise: T) -> T:
        try:
            result = await command
        except (RedisError, OSError) as error:
            self._failed(error)
            return otherwise
        self._worked()
        return result

    def _failed(self, error: Exception) -> None:
        self._left_alone_until = self._clock() + _PAUSE_AFTER_FAILURE_S
        if self._available:
            self._available = False
            _log.warning("cache.unavailable", error=type(error).__name__)

    def _worked(self) -> None:
        if not self._available:
            self._available = True
            self._left_alone_until = float("-inf")
            _log.info("cache.recovered")
