"""One Redis that all processes share, and that may be gone or slow at any time.

Who uses it has something else to do when it does not answer: so nobody waits for it longer than
0.5 s, and after a failure it is left alone for a moment. One that hangs would otherwise add its
timeout to every request of the service.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

TIMEOUT_S = 0.5
_PAUSE_AFTER_FAILURE_S = 2.0

T = TypeVar("T")


@asynccontextmanager
async def open_redis(url: str, *, max_connections: int = 50) -> AsyncIterator[Redis]:
    """A pool of connections, none of them made yet. Who finds all of them busy waits for one."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),  # redis-py's own retries multiply the timeout
    )
    async with Redis.from_pool(pool) as client:
        yield client


class Outages:
    """Asks Redis, and remembers whether it answered.

    `began` is told of the first failure, `ended` of the first success after it. Calls overlap: what
    was asked before the last failure does not end the outage, or a slow moment would be many.
    """

    def __init__(
        self,
        *,
        began: Callable[[Exception], None],
        ended: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._began = began
        self._ended = ended
        self._clock = clock
        self._lasts = False
        self._failed_at = float("-inf")

    async def survived(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T:
        """The answer, or `otherwise`: at once, when Redis has just failed."""
        if self._lasts and self._clock() < self._failed_at + _PAUSE_AFTER_FAILURE_S:
            return otherwise
        return await self.tried(ask, otherwise=otherwise)

    async def tried(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T:
        """The same for who wants to know how it is now."""
        asked_at = self._clock()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await ask()
        except (RedisError, OSError) as error:  # a timeout is one of the latter
            self._failed(error)
            return otherwise
        if self._lasts and asked_at >= self._failed_at:
            self._lasts = False
            self._ended()
        return answer

    def _failed(self, error: Exception) -> None:
        self._failed_at = self._clock()
        if not self._lasts:
            self._lasts = True
            self._began(error)
