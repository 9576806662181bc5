"""A circuit breaker: stops calls to a service that keeps failing, for a while.

Michael Nygard's pattern (Release It!, 2007): closed while calls succeed, open after too many failures,
half-open when `reset_s` is over. A half-open circuit lets exactly one call through, the probe: a
service that is just coming back does not get all waiting callers at once.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Literal, Protocol, Self

from annotated_types import Ge, Gt, Le

CircuitState = Literal["closed", "open", "half_open"]

# Seconds that other callers have to wait while the probe is running: about as long as a call.
_PROBE_S = 1.0


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a circuit opens, and for how long.

    It opens after `failures` in a row; or when more than the share `failure_rate` of the last calls
    failed. The last calls are at most `window_calls`, not older than `window_s`, and at least half as
    many as `window_calls`: two of three calls are no rate. No share is more than 1, so 1 switches the
    second rule off. After `reset_s` one call may try.
    """

    failures: Annotated[int, Ge(1), Le(1000)] = 5
    reset_s: Annotated[float, Gt(0), Le(3600)] = 30.0
    failure_rate: Annotated[float, Gt(0), Le(1)] = 0.5
    window_calls: Annotated[int, Ge(2), Le(1000)] = 20
    window_s: Annotated[float, Gt(0), Le(3600)] = 60.0


class OpenCircuitError(Exception):
    """The call must not be made. The caller may try again after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"the circuit is open for {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class ChangeHook(Protocol):
    def __call__(self, state: CircuitState, why: str, /) -> None:
        """The circuit is `state` from now on."""


class SharedCircuit(Protocol):
    """The state that breakers in several processes share."""

    async def opened(self, for_s: float, /) -> None:
        """Tell the other processes that this one's circuit is open for so many seconds."""
        ...

    async def remote_open_s(self) -> float:
        """Seconds for which another process's circuit stays open; 0: none is known to be open."""
        ...


class Outcomes:
    """Which of the last calls went well: at most `most` calls, and none older than `window_s`."""

    def __init__(self, most: int, window_s: float, clock: Callable[[], float]) -> None:
        self._window_s = window_s
        self._clock = clock
        self._calls: deque[tuple[float, bool]] = deque(maxlen=most)
        self.in_a_row = 0  # failures since the last success
        self.successes = 0  # of all time

    def add(self, *, ok: bool) -> None:
        self._calls.append((self._clock(), ok))
        self.in_a_row = 0 if ok else self.in_a_row + 1
        self.successes += ok

    def counts(self) -> tuple[int, int]:
        """The number of calls, and of those that failed."""
        since = self._clock() - self._window_s
        while self._calls and self._calls[0][0] <= since:
            self._calls.popleft()
        return len(self._calls), sum(not ok for _, ok in self._calls)

    def idle_s(self) -> float:
        """Seconds since the last call; infinite if there was none."""
        return self._clock() - self._calls[-1][0] if self._calls else float("inf")


@dataclass(slots=True, eq=False)
class Permit:
    """The right to make one call. Only its first result counts.

    `responds` reports that a long answer has begun: the circuit closes before the answer ends, and
    the answer may still fail. Used as a context manager, it is released at the end.
    """

    breaker: "CircuitBreaker"
    generation: int  # of the circuit, when the call began
    is_over: bool = False

    def succeeded(self) -> None:
        self.breaker.record(self, failed=False)

    def failed(self) -> None:
        self.breaker.record(self, failed=True)

    def responds(self) -> None:
        self.breaker.first_byte(self)

    def release(self) -> None:
        """End the permit. Without a result the call does not count."""
        self.breaker.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.release()


class CircuitBreaker:
    """`with breaker.enter() as permit:` make the call, then `permit.succeeded()` or `.failed()`.

    A permit that ends without either does not count: a cancelled call, or one that was refused
    before it reached the service. If it was the probe, the next caller is the probe.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        on_change: ChangeHook | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._on_change = on_change
        self._clock = clock
        self._recent = self._no_calls()
        self._opened_at: float | None = None
        self._probe: Permit | None = None
        self._generation = 0  # grows with each opening and closing
        self._has_opened = False  # and other processes do not know it

    @property
    def state(self) -> CircuitState:
        if self._opened_at is None:
            return "closed"
        return "open" if self._left_s(self._opened_at) > 0 else "half_open"

    def enter(self) -> Permit:
        """Ask for permission to make one call. Raises `OpenCircuitError`."""
        if self._opened_at is None:
            return Permit(self, self._generation)
        left_s = self._left_s(self._opened_at)
        if left_s > 0 or self._probe is not None:
            raise OpenCircuitError(max(left_s, _PROBE_S))
        self._probe = Permit(self, self._generation)
        self._report("half_open", "one call may try")
        return self._probe

    def force_open(self, for_s: float, why: str) -> None:
        """Open for so many seconds from now, without a failure of its own."""
        self._open(why)
        self._opened_at = self._clock() + for_s - self._policy.reset_s

    async def synchronize(self, shared: SharedCircuit) -> None:
        """Tell other processes that the circuit is open; if it is closed, ask whether theirs is open."""
        if self._has_opened:
            self._has_opened = False
            await shared.opened(self._policy.reset_s)
        elif self.state == "closed":
            left_s = await shared.remote_open_s()
            if left_s > 0 and self.state == "closed":
                self.force_open(left_s, "another process has opened its circuit")
                self._has_opened = False  # the other processes know it

    def record(self, permit: Permit, *, failed: bool) -> None:
        """Count how a call went, unless it began before the last change of the circuit."""
        if permit.is_over:
            return
        permit.is_over = True
        if permit.generation != self._generation:
            return
        if permit is not self._probe:
            self._recent.add(ok=not failed)
            if failed and (why := self._reason_to_open()) is not None:
                self._open(why)
        elif failed:
            self._open("the probe failed")
        else:
            self._close(permit)

    def first_byte(self, permit: Permit) -> None:
        """Close the circuit when the probe's answer has begun."""
        if permit is self._probe and not permit.is_over:
            self._close(permit)

    def release(self, permit: Permit) -> None:
        """Let the next caller be the probe, if this permit was the probe and has no result."""
        permit.is_over = True
        if permit is self._probe:
            self._probe = None

    def _reason_to_open(self) -> str | None:
        """Return why the circuit has to open; `None`: it does not have to."""
        policy = self._policy
        if self._recent.in_a_row >= policy.failures:
            return f"{self._recent.in_a_row} failures in a row"
        calls, failed = self._recent.counts()
        if calls * 2 >= policy.window_calls and failed > calls * policy.failure_rate:
            return f"{failed} of {calls} calls failed"
        return None

    def _no_calls(self) -> Outcomes:
        return Outcomes(self._policy.window_calls, self._policy.window_s, self._clock)

    def _open(self, why: str) -> None:
        self._opened_at, self._probe = self._clock(), None
        self._generation += 1
        self._report("open", why)

    def _close(self, probe: Permit) -> None:
        self._opened_at, self._probe = None, None
        self._generation += 1
        probe.generation = self._generation  # it may still run, as the first call of this one
        self._recent = self._no_calls()
        self._report("closed", "the probe was answered")

    def _report(self, state: CircuitState, why: str) -> None:
        self._has_opened = state == "open"
        if self._on_change is not None:
            self._on_change(state, why)

    def _left_s(self, opened_at: float) -> float:
        return opened_at + self._policy.reset_s - self._clock()
