"""So many calls a minute and no more: who is early waits for their turn, in the order of coming.

Waits come from a schedule: when a call may be made is computed from when others were made, so a
sleep that takes too long delays one call, and never the ones after it.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Protocol

from annotated_types import Ge, Le

WINDOW_S = 60.0


@dataclass(frozen=True, slots=True)
class RateLimitPolicy:
    """How many calls, and which of two promises is meant by that.

    Not strict, a token bucket: in t seconds at most `burst + requests_per_minute x t / 60` calls.
    It fills while nobody calls, so some minute may see a burst and a minute's refill: 199 calls at
    100 a minute. `burst` is the size of the bucket; `None` is as much as fills it in a minute.

    Strict, a log of the last calls: at most `requests_per_minute` in any 60 seconds, wherever they
    begin. That is the promise that some providers hold you to. `burst` plays no part in it.

    Who would have to wait longer than `max_wait_s` is refused at once.
    """

    requests_per_minute: Annotated[int, Ge(1), Le(1_000_000)] = 100
    burst: Annotated[int, Ge(1), Le(1_000_000)] | None = None
    strict: bool = False
    max_wait_s: Annotated[float, Ge(0), Le(600)] = 10.0

    @property
    def interval_s(self) -> float:
        return WINDOW_S / self.requests_per_minute

    @property
    def bucket(self) -> int:
        return self.requests_per_minute if self.burst is None else self.burst


class LimitExceededError(Exception):
    """There is no room within the longest wait. There will be in `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"No more calls for {retry_after_s:.3f} s")
        self.retry_after_s = retry_after_s


class RateLimiter(Protocol):
    async def acquire(self) -> float:
        """Wait for one's turn and return the seconds that it took, or raise `LimitExceededError`.

        A caller who is cancelled while waiting has used nothing up.
        """
        ...


class LocalLimiter:
    """A limit for one process. First come, first served; who leaves the queue moves the rest up."""

    def __init__(
        self,
        policy: RateLimitPolicy,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schedule: _Schedule = _Log(policy) if policy.strict else _Bucket(policy)
        self._max_wait_s = policy.max_wait_s
        self._sleep = sleep
        self._clock = clock
        self._turn = asyncio.Lock()  # the queue: fair, and without a place for the cancelled
        self._waiting = 0

    async def acquire(self) -> float:
        asked = self._clock()
        wait_s = self._schedule.free_at(asked, self._waiting) - asked
        if wait_s > self._max_wait_s:
            raise LimitExceededError(wait_s)
        if wait_s == 0 and self._waiting == 0:
            self._schedule.take(asked)
            return 0.0
        return await self._queue() - asked

    async def _queue(self) -> float:
        """Only the first in the queue sleeps: the others' times change when somebody leaves."""
        self._waiting += 1
        try:
            async with self._turn:
                while (free := self._schedule.free_at(now := self._clock())) > now:
                    await self._sleep(free - now)
                self._schedule.take(now)
                return now
        finally:
            self._waiting -= 1


class _Schedule(Protocol):
    def free_at(self, now: float, ahead: int = 0) -> float:
        """When a call may be made that has `ahead` others before it: `now`, or later."""
        ...

    def take(self, now: float) -> None:
        """Note a call that is made now."""
        ...


class _Bucket:
    """A token bucket as one number: when it is full again (ITU-T I.371, GCRA)."""

    def __init__(self, policy: RateLimitPolicy) -> None:
        self._interval_s = policy.interval_s
        self._fills_in_s = (policy.bucket - 1) * policy.interval_s
        self._full_at = float("-inf")

    def free_at(self, now: float, ahead: int = 0) -> float:
        full_at = max(self._full_at, now)
        return max(now, full_at + ahead * self._interval_s - self._fills_in_s)

    def take(self, now: float) -> None:
        self._full_at = max(self._full_at, now) + self._interval_s


class _Log:
    """The times of the last calls, as many as fit into a window."""

    def __init__(self, policy: RateLimitPolicy) -> None:
        self._limit = policy.requests_per_minute
        self._made: deque[float] = deque(maxlen=self._limit)

    def free_at(self, now: float, ahead: int = 0) -> float:
        """A window after the call that is `limit` places before this one."""
        place = len(self._made) + ahead - self._limit
        if place < 0:
            return now
        known = place < len(self._made)
        leaves = self._made[place] if known else self.free_at(now, ahead - self._limit)
        return max(now, leaves + WINDOW_S)

    def take(self, now: float) -> None:
        self._made.append(now)
