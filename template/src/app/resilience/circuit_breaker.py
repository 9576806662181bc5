"""A circuit breaker: who keeps failing is left alone for a while.

Michael Nygard's pattern (Release It!, 2007): closed while calls go well, open after too many
failures, half-open when it is time to find out. Half-open lets exactly one call through, the probe:
a service that is just coming back is not met by everybody who waited for it.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated, Literal, Protocol, Self

from annotated_types import Ge, Gt, Le

CircuitState = Literal["closed", "open", "half_open"]

# What a caller is told to wait, in seconds, while the probe is on its way: about as long as a call.
_PROBE_S = 1.0


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to leave somebody alone, and for how long.

    After `failures` in a row; or when more than the share `failure_rate` of the last calls failed,
    where the last calls are at most `window_calls`, not older than `window_s`, and at least half as
    many as `window_calls`: two of three is no rate. More than 1 is impossible, so 1 switches the
    second rule off. After `reset_s` one call may find out.
    """

    failures: Annotated[int, Ge(1), Le(1000)] = 5
    reset_s: Annotated[float, Gt(0), Le(3600)] = 30.0
    failure_rate: Annotated[float, Gt(0), Le(1)] = 0.5
    window_calls: Annotated[int, Ge(2), Le(1000)] = 20
    window_s: Annotated[float, Gt(0), Le(3600)] = 60.0


class OpenCircuitError(Exception):
    """The call must not be made. It makes sense to ask again after `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(f"left alone for {retry_after_s:.1f} s")
        self.retry_after_s = retry_after_s


class ChangeHook(Protocol):
    def __call__(self, state: CircuitState, why: str, /) -> None:
        """The circuit is `state` from now on."""


def not_reported(_state: CircuitState, _why: str, /) -> None:
    """The hook of someone who does not want to know."""


class SharedCircuit(Protocol):
    """What several breakers tell each other, each in its own process."""

    async def opened(self, for_s: float, /) -> None:
        """Tell the others that it makes no sense to call for so many seconds."""
        ...

    async def open_elsewhere_s(self) -> float:
        """For how many seconds somebody else leaves it alone; 0: for none that is known."""
        ...


class NotShared:
    """For a process that has only its own view."""

    async def opened(self, for_s: float, /) -> None:
        pass

    async def open_elsewhere_s(self) -> float:
        return 0.0


NOT_SHARED = NotShared()


class CircuitBreaker:
    """`with breaker.enter() as permit:` make the call, then `permit.succeeded()` or `.failed()`.

    A permit that is left without either says nothing: a cancelled call, one that somebody else
    refused. If it was the probe, the next caller is the probe.
    """

    def __init__(
        self,
        policy: BreakerPolicy,
        *,
        on_change: ChangeHook = not_reported,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._on_change = on_change
        self._clock = clock
        self._recent = _Recent(policy)
        self._opened_at: float | None = None
        self._probe: Permit | None = None
        self._era = 0  # grows with each opening and closing

    @property
    def state(self) -> CircuitState:
        if self._opened_at is None:
            return "closed"
        return "open" if self._left_s(self._opened_at) > 0 else "half_open"

    def enter(self) -> "Permit":
        """Ask for permission to make one call. Raises `OpenCircuitError`."""
        if self._opened_at is None:
            return Permit(self, self._era)
        left_s = self._left_s(self._opened_at)
        if left_s > 0 or self._probe is not None:
            raise OpenCircuitError(max(left_s, _PROBE_S))
        self._probe = Permit(self, self._era)
        self._on_change("half_open", "one call may find out")
        return self._probe

    def leave_alone(self, for_s: float, why: str) -> None:
        """Open on somebody else's word, for so many seconds from now."""
        self._open(why)
        self._opened_at = self._clock() + for_s - self._policy.reset_s

    def settle(self, permit: "Permit", *, failed: bool) -> None:
        """Take notice of how a call went. A call from before the last change is old news."""
        if permit.era != self._era:
            return
        if permit is not self._probe:
            self._count(failed=failed)
        elif failed:
            self._open("the call that was to find out failed")
        else:
            self._close(permit)

    def hear(self, permit: "Permit") -> None:
        """Take notice of an answer that has begun: it is all that the probe was to find out."""
        if permit is self._probe:
            self._close(permit)

    def release(self, permit: "Permit") -> None:
        """Let the next caller be the probe, if this one was and has not found out."""
        if permit is self._probe:
            self._probe = None

    def _count(self, *, failed: bool) -> None:
        self._recent.add(self._clock(), failed=failed)
        why = self._recent.complaint()
        if failed and why is not None:
            self._open(why)

    def _open(self, why: str) -> None:
        self._opened_at, self._probe = self._clock(), None
        self._era += 1
        self._on_change("open", why)

    def _close(self, probe: "Permit") -> None:
        self._opened_at, self._probe = None, None
        self._era += 1
        probe.era = self._era  # it may still run, as the first call of the new era
        self._recent = _Recent(self._policy)
        self._on_change("closed", "the call that was to find out was answered")

    def _left_s(self, opened_at: float) -> float:
        return opened_at + self._policy.reset_s - self._clock()


class Permit:
    """The right to make one call. Only the first verdict counts.

    A long answer says with `responds` that it has begun. Nobody has to wait for its end before the
    circuit closes, and it may still fail.
    """

    def __init__(self, breaker: CircuitBreaker, era: int) -> None:
        self.era = era
        self._breaker = breaker
        self._settled = False

    def succeeded(self) -> None:
        self._settle(failed=False)

    def failed(self) -> None:
        self._settle(failed=True)

    def responds(self) -> None:
        if not self._settled:
            self._breaker.hear(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._settled = True
        self._breaker.release(self)

    def _settle(self, *, failed: bool) -> None:
        if not self._settled:
            self._settled = True
            self._breaker.settle(self, failed=failed)


class _Recent:
    """How the last calls went."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._in_a_row = 0
        self._calls: deque[tuple[float, bool]] = deque(maxlen=policy.window_calls)

    def add(self, now: float, *, failed: bool) -> None:
        self._in_a_row = self._in_a_row + 1 if failed else 0
        self._calls.append((now, failed))
        while self._calls[0][0] <= now - self._policy.window_s:
            self._calls.popleft()

    def complaint(self) -> str | None:
        """Say what is wrong, if it is enough to open the circuit."""
        calls, failed = len(self._calls), sum(failed for _, failed in self._calls)
        if self._in_a_row >= self._policy.failures:
            return f"{self._in_a_row} failures in a row"
        if calls * 2 >= self._policy.window_calls and failed > calls * self._policy.failure_rate:
            return f"{failed} of {calls} calls failed"
        return None
