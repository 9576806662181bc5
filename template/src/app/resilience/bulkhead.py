"""Bulkhead: at most N calls at a time, and a queue in front that is fair and short.

A long queue helps no caller: under constant overload it is always full, and each call waits for all
calls before it. If half as many calls may wait as run, a call waits for at most half the duration of a
call. All further calls fail at once (load shedding).
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

from app.resilience.fair_queue import FairQueue

Refusal = Literal["busy", "full", "displaced", "timeout"]

# A client that comes back sooner finds the same queue.
_LEAST_RETRY_AFTER_S = 1.0
# Ends of calls older than this count half in the rate at which places become free.
_MEMORY_S = 10.0


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """`length` is the number of calls that may wait; `None`: half as many as may run, 1 at least.

    A call waits for `timeout_s` at most.
    """

    length: Annotated[int, Ge(0), Le(100_000)] | None = None
    timeout_s: Annotated[float, Gt(0), Le(600)] = 5.0

    def length_for(self, size: int) -> int:
        return max(1, size // 2) if self.length is None else self.length


_may_wait: ContextVar[bool] = ContextVar("may_wait", default=True)


@contextmanager
def waiting(*, allowed: bool) -> Iterator[None]:
    """Whether the calls of the block may wait for a place. Otherwise they fail with `busy`."""
    token = _may_wait.set(allowed)
    try:
        yield
    finally:
        _may_wait.reset(token)


class BulkheadFullError(Exception):
    """No place for a call, and none in the queue in time. `retry_after_s`: when to try again.

    `full`: all places of the queue are taken. `displaced`: they were needed for a client that uses
    less. `timeout`: no place became free in time. `busy`: the call was not allowed to wait.
    """

    def __init__(self, reason: Refusal, retry_after_s: float) -> None:
        super().__init__(f"No place: {reason}")
        self.reason = reason
        self.retry_after_s = retry_after_s


class Bulkhead:
    """`size` calls at a time. Each `take` that returns has to be followed by one `release`.

    A call that finds all places taken waits in a `FairQueue`. If the queue is full, a client that uses
    less than another one takes the place of the newest waiting call of the greediest client.

    `is_full` is a plain attribute, because every call reads it.
    """

    def __init__(
        self,
        size: int,
        policy: QueuePolicy | None = None,
        weights: Mapping[str, int] | None = None,
    ) -> None:
        policy = policy or QueuePolicy()
        self.is_full = False
        self._size = size
        self._busy = 0
        self._length = policy.length_for(size)
        self._timeout_s = policy.timeout_s
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(weights)
        self._freed = 0.0  # places, since `_since`
        self._since = 0.0

    @property
    def waiting(self) -> int:
        """The number of calls in the queue."""
        return len(self._queue)

    @property
    def load(self) -> float:
        """The calls that run or wait, as a share of the places: above 1 if some wait."""
        return (self._busy + len(self._queue)) / self._size

    def refuses(self, client: str = "") -> bool:
        """Whether a call of the client would be refused as `full` now, as `take` decides it."""
        if not self.is_full or len(self._queue) < self._length:
            return False
        return not self._queue.can_displace_for(client)

    def refusal(self, reason: Refusal) -> BulkheadFullError:
        return BulkheadFullError(reason, self._retry_after_s())

    async def take(self, client: str = "") -> float:
        """Take a place, and return the seconds waited. Raises `BulkheadFullError`.

        A caller that is cancelled while it waits has no place.
        """
        if self.is_full:
            return await self._wait(client)
        self._queue.start(client)
        self._busy += 1
        self.is_full = self._busy >= self._size
        return 0.0

    def release(self, client: str = "") -> None:
        """Give the place back: to the call that is next, if one waits."""
        self._freed += 1
        self._queue.end(client)
        while (found := self._queue.pop()) is not None:
            heir, waiter = found
            if not waiter.done():  # a cancelled caller may not have left the queue yet
                self._queue.start(heir)
                waiter.set_result(None)
                return
        self._busy -= 1
        self.is_full = False

    async def _wait(self, client: str) -> float:
        if not _may_wait.get():
            raise self.refusal("busy")
        loop = asyncio.get_running_loop()
        started = loop.time()
        waiter = self._enqueue(client, loop)
        timer = loop.call_later(self._timeout_s, self._expire, client, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            self._leave(client, waiter)
            raise
        finally:
            timer.cancel()
        return loop.time() - started

    def _enqueue(self, client: str, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        if not self._queue:
            self._since, self._freed = loop.time(), 0.0
        if len(self._queue) >= self._length:
            displaced = self._queue.displace_for(client)
            if displaced is None:
                raise self.refusal("full")
            if not displaced.done():
                displaced.set_exception(self.refusal("displaced"))
        waiter: asyncio.Future[None] = loop.create_future()
        self._queue.push(client, waiter)
        return waiter

    def _expire(self, client: str, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():
            self._queue.discard(client, waiter)
            waiter.set_exception(self.refusal("timeout"))

    def _leave(self, client: str, waiter: asyncio.Future[None]) -> None:
        """A cancelled caller leaves the queue, or gives back the place that it got meanwhile."""
        if waiter.cancelled():
            self._queue.discard(client, waiter)
        elif waiter.exception() is None:
            self.release(client)

    def _retry_after_s(self) -> float:
        """The time in which the calls that wait now get their places, at the rate of late.

        They have left after `timeout_s` at the latest, so it is never longer.
        """
        elapsed_s = asyncio.get_running_loop().time() - self._since
        drained_s = elapsed_s * self.waiting / self._freed if self._freed else self._timeout_s
        if elapsed_s > _MEMORY_S:
            self._since += elapsed_s / 2
            self._freed /= 2
        return max(_LEAST_RETRY_AFTER_S, min(drained_s, self._timeout_s))
