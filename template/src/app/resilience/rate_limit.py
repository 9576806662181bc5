"""Rate limiter: at most N calls, and M tokens, per minute; callers above the rate wait in FIFO order.

Waiting times come from a schedule: the time of a call is computed from the times of earlier calls.
A sleep that takes too long therefore delays one call, and not the calls after it.
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
    """The number of calls per minute, and which of two algorithms enforces it.

    Not strict: a token bucket. In t seconds at most `burst + requests_per_minute x t / 60` calls.
    The bucket refills while there are no calls, so one minute can contain a full burst and the
    refill of that minute: 199 calls at 100 a minute. `burst` is the size of the bucket; with `None`
    the bucket holds the calls of one minute.

    Strict: a log of the last calls. At most `requests_per_minute` calls in any 60 seconds. Some
    providers enforce their limits in this way. `burst` has no effect.

    `tokens_per_minute` limits the tokens of the calls too; with `None` or 0 they are not counted. It
    is a token bucket of one minute, also if `strict`: in t seconds the calls use at most
    `tokens_per_minute x (1 + t / 60)` tokens and the unused part of the estimates of the calls that
    were in flight at the beginning of these seconds.

    A call that would wait longer than `max_wait_s` is refused immediately.
    """

    requests_per_minute: Annotated[int, Ge(1), Le(1_000_000)] = 100
    tokens_per_minute: Annotated[int, Ge(0), Le(1_000_000_000)] | None = None
    burst: Annotated[int, Ge(1), Le(1_000_000)] | None = None
    strict: bool = False
    max_wait_s: Annotated[float, Ge(0), Le(600)] = 10.0

    @property
    def interval_s(self) -> float:
        return WINDOW_S / self.requests_per_minute

    @property
    def bucket(self) -> int:
        return self.requests_per_minute if self.burst is None else self.burst

    def refill_s(self, tokens: int) -> float:
        """The time in which the limit allows so many tokens. 0 without a limit of tokens."""
        return tokens * WINDOW_S / self.tokens_per_minute if self.tokens_per_minute else 0.0


class LimitExceededError(Exception):
    """The call would have to wait for too long; a call is possible after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"No more calls for {retry_after_s:.3f} s")
        self.retry_after_s = retry_after_s


class RateLimiter(Protocol):
    async def acquire(self, tokens: int = 0, /) -> float:
        """Wait for the caller's turn and return the seconds waited, or raise `LimitExceededError`.

        `tokens` are reserved for the call: at most the tokens of one minute. A caller that is
        cancelled while it waits does not use up a call or tokens.
        """
        ...

    async def give_back(self, tokens: int, /) -> None:
        """Give back reserved tokens that a call did not use. Below 0: it used more."""
        ...

    async def cancel(self, tokens: int = 0, /) -> None:
        """Give back the turn of a call that was not made, with its reserved tokens."""
        ...


class LocalLimiter:
    """A limit for one process, in FIFO order. When a waiter leaves, later waiters move up."""

    def __init__(
        self,
        policy: RateLimitPolicy,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._schedule = _schedule(policy)
        self._max_wait_s = policy.max_wait_s
        self._sleep = sleep
        self._clock = clock
        self._turn = asyncio.Lock()  # FIFO queue; a cancelled waiter leaves it
        self._waiting = 0
        self._tokens_waiting = 0

    async def acquire(self, tokens: int = 0) -> float:
        asked = self._clock()
        ahead, all_tokens = self._waiting, self._tokens_waiting + tokens
        wait_s = self._schedule.free_at(asked, ahead, all_tokens) - asked
        if wait_s > self._max_wait_s:
            raise LimitExceededError(wait_s)
        if wait_s == 0 and self._waiting == 0:
            self._schedule.take(asked, tokens)
            return 0.0
        return await self._queue(tokens) - asked

    async def give_back(self, tokens: int) -> None:
        self._schedule.give_back(self._clock(), tokens)

    async def cancel(self, tokens: int = 0) -> None:
        self._schedule.cancel(self._clock(), tokens)

    def charge(self, tokens: int) -> None:
        """Record a call that another limiter has admitted."""
        self._schedule.charge(self._clock(), tokens)

    def share(self, processes: int) -> None:
        """Allow only one part of the limit, the same for each of so many processes."""
        self._schedule.share(processes)

    async def _queue(self, tokens: int) -> float:
        """Only the first waiter sleeps, because the others' times change when a waiter leaves."""
        self._waiting += 1
        self._tokens_waiting += tokens
        try:
            async with self._turn:
                while (free := self._schedule.free_at(now := self._clock(), 0, tokens)) > now:
                    await self._sleep(free - now)
                self._schedule.take(now, tokens)
                return now
        finally:
            self._waiting -= 1
            self._tokens_waiting -= tokens


class _Schedule(Protocol):
    def free_at(self, now: float, ahead: int = 0, tokens: int = 0, /) -> float:
        """The earliest time for a call with `ahead` waiting calls before it: `now` or later.

        `tokens` are those of the call and of the calls before it.
        """
        ...

    def take(self, now: float, tokens: int = 0, /) -> None:
        """Record a call that is made now."""
        ...

    def charge(self, now: float, tokens: int = 0, /) -> None:
        """Record a call that another limiter has admitted: possibly more than `free_at` allows."""
        ...

    def give_back(self, now: float, tokens: int, /) -> None: ...

    def cancel(self, now: float, tokens: int, /) -> None:
        """Remove one of the latest calls, because it was not made."""
        ...

    def share(self, processes: int, /) -> None: ...


def _schedule(policy: RateLimitPolicy) -> _Schedule:
    calls: _Schedule = _Log(policy) if policy.strict else _Bucket(policy)
    return _WithTokens(policy, calls) if policy.tokens_per_minute else calls


class _Bucket:
    """A token bucket, stored as one number: the time when it is full again (ITU-T I.371, GCRA)."""

    def __init__(self, policy: RateLimitPolicy) -> None:
        self._policy = policy
        self._full_at = float("-inf")
        self.share(1)

    def free_at(self, now: float, ahead: int = 0, _tokens: int = 0) -> float:
        full_at = max(self._full_at, now)
        return max(now, full_at + ahead * self._interval_s - self._fills_in_s)

    def take(self, now: float, _tokens: int = 0) -> None:
        self._full_at = max(self._full_at, now) + self._interval_s

    def charge(self, now: float, _tokens: int = 0) -> None:
        """The bucket becomes empty at most: it never owes calls."""
        empty = now + self._fills_in_s + self._interval_s
        self._full_at = max(self._full_at, min(max(self._full_at, now) + self._interval_s, empty))

    def give_back(self, _now: float, _tokens: int) -> None:
        """A call that was made counts, also if its tokens do not."""

    def cancel(self, _now: float, _tokens: int) -> None:
        self._full_at -= self._interval_s

    def share(self, processes: int) -> None:
        self._interval_s = self._policy.interval_s * processes
        self._fills_in_s = (max(1, self._policy.bucket // processes) - 1) * self._interval_s


class _Log:
    """The times of the last calls, as many as are allowed in one window."""

    def __init__(self, policy: RateLimitPolicy) -> None:
        self._limit = self._limit_of_all = policy.requests_per_minute
        self._made: deque[float] = deque(maxlen=self._limit)

    def free_at(self, now: float, ahead: int = 0, _tokens: int = 0) -> float:
        """One window after the call that is `limit` places before this one."""
        place = len(self._made) + ahead - self._limit
        if place < 0:
            return now
        known = place < len(self._made)
        leaves = self._made[place] if known else self.free_at(now, ahead - self._limit)
        return max(now, leaves + WINDOW_S)

    def take(self, now: float, _tokens: int = 0) -> None:
        self._made.append(now)

    charge = take

    def give_back(self, _now: float, _tokens: int) -> None:
        """A call that was made counts, also if its tokens do not."""

    def cancel(self, _now: float, _tokens: int) -> None:
        if self._made:
            self._made.pop()

    def share(self, processes: int) -> None:
        self._limit = max(1, self._limit_of_all // processes)


class _WithTokens:
    """Calls by another schedule, and their tokens by a bucket that holds those of one minute.

    A call with more tokens than the share of this process waits until the bucket is full, and then
    overdraws it.
    """

    def __init__(self, policy: RateLimitPolicy, calls: _Schedule) -> None:
        self._policy = policy
        self._calls = calls
        self._processes = 1
        self._full_at = float("-inf")

    def free_at(self, now: float, ahead: int = 0, tokens: int = 0) -> float:
        refill_s = self._refill_s(tokens)
        needed_s = refill_s if ahead else min(refill_s, WINDOW_S)
        return max(self._calls.free_at(now, ahead), max(self._full_at, now) + needed_s - WINDOW_S)

    def take(self, now: float, tokens: int = 0) -> None:
        self._calls.take(now)
        self._full_at = max(self._full_at, now) + self._refill_s(tokens)

    def charge(self, now: float, tokens: int = 0) -> None:
        self._calls.charge(now)
        full_at = max(self._full_at, now) + self._refill_s(tokens)
        self._full_at = max(self._full_at, min(full_at, now + WINDOW_S))

    def give_back(self, now: float, tokens: int) -> None:
        self._full_at = max(self._full_at, now) - self._refill_s(tokens)

    def cancel(self, now: float, tokens: int) -> None:
        self._calls.cancel(now, tokens)
        self.give_back(now, tokens)

    def share(self, processes: int) -> None:
        self._processes = processes
        self._calls.share(processes)

    def _refill_s(self, tokens: int) -> float:
        return self._policy.refill_s(tokens) * self._processes
