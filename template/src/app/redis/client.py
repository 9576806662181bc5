"""The Redis connection that all features share, with one guard around it.

Redis may be down, slow, full, read-only or loading at any time, and every user of it has a
fallback. So a call times out after 0.5 s, and the first failure begins an outage for all users of
the connection: their calls are skipped at once, and only one background task asks Redis whether it
works. An outage has one log line at its start and one at its end, for any number of caches, limits
and circuits.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from app.redis.failures import reason
from app.resilience.outage import Outage

TIMEOUT_S = 0.5
_PROBE_TTL_MS = 60_000

T = TypeVar("T")


@asynccontextmanager
async def open_redis(
    url: str, prefix: str = "app", *, max_connections: int = 50
) -> AsyncIterator["SharedRedis"]:
    """A connection pool, opened at first use. A call waits if all connections are busy."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),  # redis-py's own retries multiply the timeout
    )
    async with Redis.from_pool(pool) as client, aclosing(SharedRedis(client, prefix)) as redis:
        yield redis


def provider_tag(provider: str, address: str) -> str:
    """The part of a key that identifies a provider at an address, as a hash tag.

    A Redis cluster keeps all keys with the same tag on one node, so that a script may use several
    of them. The address is hashed because it may contain a password.
    """
    return f"{{{provider}-{sha256(address.encode()).hexdigest()[:12]}}}"


class SharedRedis:
    """A Redis client, the prefix of this service's keys, and the guard of both.

    During an outage no call waits for Redis. A full or read-only Redis can still be read, so reads
    go on while Redis only refuses writes. Close it, or the task that probes goes on.
    """

    def __init__(
        self,
        client: Redis,
        prefix: str = "app",
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.client = client
        self._prefix = prefix
        self._outage = Outage("redis", self._probe, reason, clock=clock, sleep=sleep)
        self._can_be_read = True  # each failure of the last outage was an error from Redis

    def key(self, *parts: str) -> str:
        return ":".join((self._prefix, *parts))

    async def read(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T:
        """The answer, or `otherwise`. A Redis that only refuses writes can still be read."""
        is_skipped = self._outage.is_on and not self._can_be_read
        return otherwise if is_skipped else await self._try(ask, otherwise)

    async def write(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T:
        """The answer, or `otherwise`: at once during an outage."""
        return otherwise if self._outage.is_on else await self._try(ask, otherwise)

    async def check(self) -> bool:
        """Whether Redis is in use. Without an outage, write a test value to find one."""
        return await self._outage.check()

    async def aclose(self) -> None:
        await self._outage.aclose()

    async def _try(self, ask: Callable[[], Awaitable[T]], otherwise: T) -> T:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await ask()
        except (RedisError, OSError) as error:  # a timeout is one of the latter
            self._failed(error)
            return otherwise

    def _failed(self, error: Exception) -> None:
        if not self._outage.is_on:
            self._can_be_read = True
        self._can_be_read &= isinstance(error, ResponseError)
        self._outage.failed(error)

    async def _probe(self) -> None:
        key = self.key("probe")
        await self._try(lambda: self.client.set(key, "1", px=_PROBE_TTL_MS), None)
