"""Provider health over the last five minutes, from real calls and periodic probes."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.resilience.circuit_breaker import CircuitState, Outcomes
from app.resilience.race import cancel_and_wait

_WINDOW_CALLS = 1000
_WINDOW_S = 300.0
# With fewer calls, a success rate means nothing: one failure of one call is 0% success.
_MIN_CALLS = 10
_LEAST_SUCCESS_RATE = 0.5
# Random jitter, so that processes that started together do not all probe at the same moment.
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class HealthReport:
    """A provider's health at one moment. `success_rate` is 0 to 1, and `None` without calls."""

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
    """The outcomes of the calls of the last five minutes (at most a thousand), and of the last probe.

    A call adds its outcome to `calls`. A successful call clears the failure of an earlier probe,
    because the call is newer.
    """

    def __init__(
        self, state: Callable[[], CircuitState], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._state = state
        self.calls = Outcomes(_WINDOW_CALLS, _WINDOW_S, clock)
        self._failed_probe: int | None = None  # the successes before it

    @property
    def is_open(self) -> bool:
        """Whether the circuit lets no call pass now."""
        return self._state() == "open"

    def probed(self, *, ok: bool) -> None:
        self._failed_probe = None if ok else self.calls.successes

    def report(self) -> HealthReport:
        calls, failed = self.calls.counts()
        return HealthReport(
            state=self._state(),
            success_rate=round((calls - failed) / calls, 3) if calls else None,
            calls=calls,
            probe_failed=self._failed_probe == self.calls.successes,
        )


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """A provider to probe: its health record and its ping."""

    health: Health
    ping: Callable[[], Awaitable[None]]  # raises an error if the provider does not work


def any_reachable(
    targets: Iterable[ProbeTarget], unreachable: type[Exception]
) -> Callable[[], Awaitable[bool]]:
    """A check that pings all at once: false if each of them raises `unreachable`."""
    pings = [target.ping for target in targets]

    async def check() -> bool:
        results = await asyncio.gather(*(ping() for ping in pings), return_exceptions=True)
        return not all(isinstance(result, unreachable) for result in results)

    return check


@asynccontextmanager
async def probing(
    targets: Mapping[str, ProbeTarget],
    interval_s: float,
    *,
    report: Callable[[str, Exception], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[None]:
    """Repeatedly probe each provider that had no call for `interval_s` seconds; 0 means never.

    The first probe is sent after one interval, so that a service that starts does not begin with a
    round of calls. Each provider has its own task, so a ping that hangs does not delay the others.
    """

    async def regularly(name: str, target: ProbeTarget) -> None:
        while True:
            jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
            await sleep(interval_s * jitter)
            if target.health.calls.idle_s() < interval_s:
                continue
            error = await _probe(target)
            target.health.probed(ok=error is None)
            if error is not None and report is not None:
                report(name, error)

    probes = [regularly(*item) for item in targets.items()] if interval_s else []
    tasks = [asyncio.create_task(probe) for probe in probes]
    try:
        yield
    finally:
        await cancel_and_wait(tasks)


async def _probe(target: ProbeTarget) -> Exception | None:
    try:
        await target.ping()
    except Exception as error:  # noqa: BLE001 - no caller awaits this task, so it must not raise
        return error
    return None
