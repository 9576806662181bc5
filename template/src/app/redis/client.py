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
from contextvars import Context
from hashlib import sha256
from typing import TypeVar

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from app.redis.failures import reason
from app.resilience.race import cancel_and_wait

_log = structlog.get_logger(__name__)

TIMEOUT_S = 0.5
_PROBE_INTERVAL_S = 1.0
# An outage ends when no probe failed for this time. A full Redis accepts a write when a key has just
# expired; ending the outage at the first success would begin the next one a moment later.
_STEADY_S = 3.0
# Each outage that begins within this time of the last one has twice the steady time of the last one,
# up to the same limit: a Redis that comes and goes costs ever fewer calls and log lines.
_RELAPSE_S = 60.0
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
        self._clock = clock
        self._sleep = sleep
        self._is_out = False
        self._can_be_read = True  # each failure of this outage was an error from Redis
        self._began_at = self._failed_at = self._ended_at = float("-inf")
        self._steady_s = _STEADY_S
        self._checking = asyncio.Lock()
        self._prober: asyncio.Task[None] | None = None

    def key(self, *parts: str) -> str:
        return ":".join((self._prefix, *parts))

    async def read(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T:
        """The answer, or `otherwise`. A Redis that only refuses writes can still be read."""
        return await self._try(ask, otherwise) if self._can_be_read else otherwise

    async def write(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T:
        """The answer, or `otherwise`: at once during an outage."""
        return otherwise if self._is_out else await self._try(ask, otherwise)

    async def check(self) -> bool:
        """Whether Redis is in use. Without an outage, write a test value to find one."""
        is_checked = self._checking.locked()
        async with self._checking:
            if not self._is_out and not is_checked:
                await self._probe()
        return not self._is_out

    async def aclose(self) -> None:
        if self._prober is not None:
            await cancel_and_wait([self._prober])

    async def _try(self, ask: Callable[[], Awaitable[T]], otherwise: T) -> T:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await ask()
        except (RedisError, OSError) as error:  # a timeout is one of the latter
            self._failed(error)
            return otherwise

    def _failed(self, error: Exception) -> None:
        self._failed_at = self._clock()
        self._can_be_read &= isinstance(error, ResponseError)
        if not self._is_out:
            self._begin_outage(error)

    def _begin_outage(self, error: Exception) -> None:
        self._is_out = True
        self._began_at = self._failed_at
        is_relapse = self._began_at < self._ended_at + _RELAPSE_S
        self._steady_s = min(2 * self._steady_s, _RELAPSE_S) if is_relapse else _STEADY_S
        _log.warning("redis.unavailable", error=type(error).__name__, reason=reason(error))
        # In a context of its own: the end of the outage is not part of the request that found it.
        self._prober = asyncio.create_task(self._probe_until_steady(), context=Context())

    async def _probe_until_steady(self) -> None:
        while self._clock() < self._failed_at + self._steady_s:
            await self._sleep(_PROBE_INTERVAL_S)
            try:
                await self._probe()
            except Exception as error:  # noqa: BLE001 - an outage would never end without this task
                self._failed(error)
        self._is_out, self._can_be_read = False, True
        self._ended_at = self._clock()
        _log.info("redis.recovered", lasted_s=round(self._ended_at - self._began_at, 3))

    async def _probe(self) -> None:
        key = self.key("probe")
        await self._try(lambda: self.client.set(key, "1", px=_PROBE_TTL_MS), None)
