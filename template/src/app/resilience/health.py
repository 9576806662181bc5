"""How well somebody has been doing of late, by what became of real calls and of regular probes."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from app.resilience.circuit_breaker import CircuitState

_WINDOW_CALLS = 1000
_WINDOW_S = 300.0
# Fewer calls than this are no rate: one failure of one call is 0% success.
_MIN_CALLS = 10
_LEAST_SUCCESS_RATE = 0.5


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What is known at one moment. `success_rate` is between 0 and 1, and `None` without calls."""

    state: CircuitState
    success_rate: float | None
    calls: int
    probe_failed: bool

    @property
    def degraded(self) -> bool:
        rate = self.success_rate
        poor = rate is not None and self.calls >= _MIN_CALLS and rate < _LEAST_SUCCESS_RATE
        return self.state == "open" or self.probe_failed or poor


class Health:
    """The outcomes of the last five minutes, at most a thousand; and of the last probe.

    A call that succeeds is newer and better news than a probe that failed before.
    """

    def __init__(
        self, state: Callable[[], CircuitState], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self._clock = clock
        self._calls: deque[tuple[float, bool]] = deque(maxlen=_WINDOW_CALLS)
        self._probe_failed = False

    def record(self, *, ok: bool) -> None:
        self._calls.append((self._clock(), ok))
        if ok:
            self._probe_failed = False

    def probed(self, *, ok: bool) -> None:
        self._probe_failed = not ok

    def idle_s(self) -> float:
        """Seconds since the last call, or infinitely many."""
        return self._clock() - self._calls[-1][0] if self._calls else float("inf")

    def report(self) -> HealthReport:
        since = self._clock() - _WINDOW_S
        while self._calls and self._calls[0][0] <= since:
            self._calls.popleft()
        calls = len(self._calls)
        good = sum(ok for _, ok in self._calls)
        return HealthReport(
            state=self._state(),
            success_rate=round(good / calls, 3) if calls else None,
            calls=calls,
            probe_failed=self._probe_failed,
        )
