"""Ask a second time when the first takes long, and take what comes first.

Hedged requests as in Dean and Barroso, The Tail at Scale (2013): the second call starts only when
the first is slower than most, so that a few calls more cut off the slow tail.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Annotated, Protocol, TypeVar

from annotated_types import Ge, Gt, Le

from app.resilience.race import Call, Discard, let_go, nothing_held, race, start

T = TypeVar("T")

# The 95th percentile is taken from so many durations; below `_FEW_CALLS` it would be a guess.
_KNOWN_CALLS = 100
_FEW_CALLS = 20
_PERCENTILE = 0.95
# The percentile of answers that all come from a cache is no time at all.
_LEAST_DELAY_S = 0.01
# Hedges that may be saved up for a bad minute: some, and not a second load.
_SAVED_HEDGES = 10


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """After how many seconds a call is slow; `None`: nobody is asked twice.

    `adaptive` replaces `after_s`, as soon as enough calls are known, by the time in which 95% of
    the last ones answered. At any time at most the share `max_extra` of all calls was asked twice:
    a slow provider does not get twice the load.
    """

    after_s: Annotated[float, Gt(0), Le(600)] | None = None
    adaptive: bool = False
    max_extra: Annotated[float, Ge(0.001), Le(1)] = 0.1


class HedgeHook(Protocol):
    def __call__(self, after_s: float, winner: int, /) -> None:
        """A second call was made after `after_s` seconds; `winner` is 0 or 1 for who answered."""


def not_reported(_after_s: float, _winner: int, /) -> None:
    """The hook of someone who does not want to know."""


class Hedge:
    """For calls that take about as long as each other: the delay is learned from all of them."""

    def __init__(
        self,
        policy: HedgePolicy,
        *,
        catch: type[Exception],
        report: HedgeHook = not_reported,
    ) -> None:
        self._policy = policy
        self._catch = catch
        self._report = report
        self._durations_s: deque[float] = deque(maxlen=_KNOWN_CALLS)
        self._calls_per_hedge = 1 / policy.max_extra
        self._unhedged_calls = 0.0

    async def __call__(
        self, first: Call[T], second: Call[T], *, discard: Discard[T] = nothing_held
    ) -> T:
        """Return the first value, as `first_completed` does. The loser leaves nothing behind."""
        now = asyncio.get_running_loop().time
        started = now()
        tasks = [start(first)]
        try:
            await asyncio.wait(tasks, timeout=self._after_s())
        except asyncio.CancelledError:
            await let_go(tasks, discard)
            raise
        waited_s = now() - started
        if self._may_ask_twice(slow=not tasks[0].done()):
            tasks.append(start(second))
        value = await race(tasks, catch=self._catch, discard=discard)
        first_won = _has_value(tasks[0])
        # A loser was slower than the delay, and that is all that is known. The time that both calls
        # took together would raise the delay, which would raise that time, and so on.
        self._durations_s.append(now() - started if first_won else waited_s)
        if len(tasks) > 1:
            self._report(waited_s, 0 if first_won else 1)
        return value

    def _after_s(self) -> float | None:
        after_s = self._policy.after_s
        if after_s is None or not self._policy.adaptive or len(self._durations_s) < _FEW_CALLS:
            return after_s
        slowest = sorted(self._durations_s)
        return max(slowest[int(len(slowest) * _PERCENTILE)], _LEAST_DELAY_S)

    def _may_ask_twice(self, *, slow: bool) -> bool:
        """Each call earns a part of a hedge, from nothing: not even a start asks too often."""
        saved = self._unhedged_calls + 1
        self._unhedged_calls = min(saved, _SAVED_HEDGES * self._calls_per_hedge)
        if not slow or self._unhedged_calls < self._calls_per_hedge:
            return False
        self._unhedged_calls -= self._calls_per_hedge
        return True


def _has_value(task: asyncio.Task[T]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
