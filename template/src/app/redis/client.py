"""The Redis connection that all features share, with one guard around it.

The Redis is one server, a cluster, or servers that Sentinel watches: see `app.redis.address`.

Redis may be down, slow, full, read-only or loading at any time, and every user of it has a
fallback. So a call times out after 0.5 s, and the first failure begins an outage for all users of
the connection: their calls are skipped at once, and only one background task asks Redis whether it
works. An outage has one log line at its start and one at its end, for any number of caches, limits
and circuits. A failover is a short outage. In a cluster, a node that is down is an outage of all of
it: a part of the limits that is shared, beside a part that is not, would be harder to reason about.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from hashlib import sha256
from typing import TypeVar

import structlog
from redis import exceptions
from redis.asyncio import Redis
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from app.redis.address import parsed
from app.redis.topology import key_on_each_node, open_client
from app.resilience.outage import Outage

_log = structlog.get_logger(__name__)

TIMEOUT_S = 0.5
_PROBE_TTL_MS = 60_000

T = TypeVar("T")


@asynccontextmanager
async def open_redis(
    url: str, prefix: str = "app", *, max_connections: int = 50
) -> AsyncIterator["SharedRedis"]:
    """Connections, opened at first use. A call waits if all of them are busy."""
    opening = open_client(parsed(url), max_connections=max_connections, timeout_s=TIMEOUT_S)
    async with opening as client:
        shared = SharedRedis(client, prefix, max_calls=max_connections)
        async with aclosing(shared) as redis:
            yield redis


def provider_tag(provider: str, address: str) -> str:
    """The tag of the keys of a provider at an address. It is hashed: it may contain a password."""
    return f"{provider}-{sha256(address.encode()).hexdigest()[:12]}"


def _log_outage(error: Exception) -> None:
    _log.warning("redis.unavailable", error=type(error).__name__, reason=reason(error))


def _log_end(lasted_s: float) -> None:
    _log.info("redis.recovered", lasted_s=lasted_s)


class SharedRedis:
    """A Redis client, the prefix of this service's keys, and the guard of both.

    During an outage no call waits for Redis. A full or read-only Redis can still be read, so reads
    go on while Redis only refuses writes. Close it, or the task that probes goes on.

    The rule for keys: all keys of one script, of one transaction and of one command come from `tagged`
    with the same tag. A cluster keeps them on one node; other combinations it refuses. Choose a tag as
    small as the script allows (a client, a provider), or one node does all the work.
    """

    def __init__(
        self,
        client: Redis,
        prefix: str = "app",
        *,
        max_calls: int = 50,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.client = client
        self._prefix = prefix
        # The connections of a cluster's node do not wait for each other: one too many is an error.
        self._places = asyncio.Semaphore(max_calls)
        self._outage = Outage(
            self._probe, on_begin=_log_outage, on_end=_log_end, clock=clock, sleep=sleep
        )
        self._can_be_read = True  # each failure of the last outage was an error from Redis

    def key(self, *parts: str) -> str:
        """A key that no script, transaction or command uses together with others."""
        return ":".join((self._prefix, *parts))

    def tagged(self, tag: str, *parts: str) -> str:
        """A key that is on one node of a cluster with all others of this tag."""
        return self.key(f"{{{tag}}}", *parts)

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
            async with asyncio.timeout(TIMEOUT_S), self._places:
                return await ask()
        except (
            RedisError,
            RedisClusterException,
            OSError,
        ) as error:  # a timeout is one of the last
            self._failed(error)
            return otherwise

    def _failed(self, error: Exception) -> None:
        if not self._outage.is_on:
            self._can_be_read = True
        self._can_be_read &= isinstance(error, ResponseError)
        self._outage.failed(error)

    async def _probe(self) -> None:
        """Write to each node that has keys."""
        keys = key_on_each_node(self.client, self.key("probe"))

        async def ask() -> None:
            await asyncio.gather(*(self.client.set(key, "1", px=_PROBE_TTL_MS) for key in keys))

        await self._try(ask, None)


_REASONS: Mapping[type[BaseException], str] = {
    exceptions.OutOfMemoryError: "full",
    exceptions.ReadOnlyError: "read-only",
    exceptions.BusyLoadingError: "loading",
    exceptions.AuthenticationError: "credentials refused",
    exceptions.NoPermissionError: "not permitted",
    exceptions.ResponseError: "command refused",
    exceptions.TimeoutError: "no answer in time",
    TimeoutError: "no answer in time",
    exceptions.ConnectionError: "no connection",
    OSError: "no connection",
    BaseException: "failed",
}


def reason(error: Exception) -> str:
    """Why Redis cannot be used, in a word for the log: of the most specific class that has one."""
    return next(_REASONS[cls] for cls in type(error).__mro__ if cls in _REASONS)
