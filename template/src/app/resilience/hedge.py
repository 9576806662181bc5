"""Hedging: make a second call when the first one is slow, and use the first answer.

As in Dean and Barroso, The Tail at Scale (2013): the second call starts only when the first is slower
than most calls, so that a few more calls cut off the slow tail.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeVar

from annotated_types import Ge, Gt, Le

from app.resilience.bulkhead import waiting
from app.resilience.race import Call, Discard, discard_losers, first_completed, no_discard, start

T = TypeVar("T")

# The 95th percentile is taken of the last `_KNOWN_CALLS` durations, and of `_FEW_CALLS` at least.
_KNOWN_CALLS = 100
_FEW_CALLS = 20
_PERCENTILE = 0.95
# Without a minimum, the percentile of answers that all come from a cache would be almost zero.
_LEAST_DELAY_S = 0.01
# Unused hedges that can be saved for a slow minute.
_SAVED_HEDGES = 10


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """A call without an answer after `after_s` seconds is made a second time; `None`: never.

    `adaptive`: after enough calls, the time in which 95% of the last calls were answered is used instead
    of `after_s`. At most the share `max_extra` of all calls is made twice, so a slow
    provider does not get twice the load.
    """

    after_s: Annotated[float, Gt(0), Le(600)] | None = None
    adaptive: bool = False
    max_extra: Annotated[float, Ge(0.001), Le(1)] = 0.1


class HedgeHook(Protocol):
    def __call__(self, after_s: float, winner: int, /) -> None:
        """A second call was made after `after_s` seconds. The first (0) or second (1) call won."""


class Hedge:
    """Hedges calls of one kind, which take a similar time: the delay is learned from all of them."""

    def __init__(
        self,
        policy: HedgePolicy,
        *,
        catch: type[Exception],
        report: HedgeHook | None = None,
    ) -> None:
        self._policy = policy
        self._catch = catch
        self._report = report
        self._durations_s: deque[float] = deque(maxlen=_KNOWN_CALLS)
        self._calls_per_hedge = 1 / policy.max_extra
        self._unhedged_calls = 0.0

    async def __call__(
        self, first: Call[T], second: Call[T], *, discard: Discard[T] = no_discard
    ) -> T:
        """Return the first value, as `first_completed` does. The losing call is cancelled and awaited.

        A call that waits in the queue of a bulkhead is slow too. The second call does not wait there:
        it takes a free place or fails, because waiting calls are no cure for an overload.
        """
        now = asyncio.get_running_loop().time
        started = now()
        tasks = [start(first)]
        try:
            await asyncio.wait(tasks, timeout=self._after_s())
        except asyncio.CancelledError:
            await discard_losers(tasks, discard)
            raise
        waited_s = now() - started
        if self._may_ask_twice(slow=not tasks[0].done()):
            with waiting(allowed=False):  # the task of the second call inherits it
                tasks.append(start(second))
        value = await first_completed(tasks, catch=self._catch, discard=discard)
        first_won = _has_value(tasks[0])
        # Of a losing first call only the delay is known. Both calls together would count as slower,
        # which would raise the delay, which would raise that time, and so on.
        self._durations_s.append(now() - started if first_won else waited_s)
        if len(tasks) > 1 and self._report is not None:
            self._report(waited_s, 0 if first_won else 1)
        return value

    def _after_s(self) -> float | None:
        after_s = self._policy.after_s
        if after_s is None or not self._policy.adaptive or len(self._durations_s) < _FEW_CALLS:
            return after_s
        slowest = sorted(self._durations_s)
        return max(slowest[int(len(slowest) * _PERCENTILE)], _LEAST_DELAY_S)

    def _may_ask_twice(self, *, slow: bool) -> bool:
        """Each call earns a part of a hedge. A new process starts with no hedges saved."""
        saved = self._unhedged_calls + 1
        self._unhedged_calls = min(saved, _SAVED_HEDGES * self._calls_per_hedge)
        if not slow or self._unhedged_calls < self._calls_per_hedge:
            return False
        self._unhedged_calls -= self._calls_per_hedge
        return True


def _has_value(task: asyncio.Task[T]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
