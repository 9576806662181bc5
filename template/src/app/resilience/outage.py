"""Whether a server is out of use: found once, reported once, and ended by one task that probes it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context

from app.resilience.race import cancel_and_wait

_PROBE_INTERVAL_S = 1.0
# An outage ends when no probe failed for this time. A full Redis accepts a write when a key has just
# expired; ending the outage at the first success would begin the next one a moment later.
_STEADY_S = 3.0
# Each outage that begins within this time of the last one has twice the steady time of the last one,
# up to the same limit: a server that comes and goes costs ever fewer calls and log lines.
_RELAPSE_S = 60.0


class Outage:
    """The outages of one server. Its users skip their calls while it `is_on`.

    `probe` asks the server, and reports a failure to `failed` as every call does. `on_begin` gets the
    first error of an outage, `on_end` its length in seconds: for the log. Close it, or the task that
    probes goes on.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        *,
        on_begin: Callable[[Exception], None],
        on_end: Callable[[float], None],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.is_on = False
        self._probe = probe
        self._on_begin = on_begin
        self._on_end = on_end
        self._clock = clock
        self._sleep = sleep
        self._began_at = self._failed_at = self._ended_at = float("-inf")
        self._steady_s = _STEADY_S
        self._checking = asyncio.Lock()
        self._prober: asyncio.Task[None] | None = None

    def failed(self, error: Exception) -> None:
        """Begin an outage, or make the present one longer."""
        self._failed_at = self._clock()
        if not self.is_on:
            self._begin(error)

    async def check(self) -> bool:
        """Whether the server is in use. Without an outage, probe it to find one."""
        is_checked = self._checking.locked()
        async with self._checking:
            if not self.is_on and not is_checked:
                await self._probe()
        return not self.is_on

    async def aclose(self) -> None:
        if self._prober is not None:
            await cancel_and_wait([self._prober])

    def _begin(self, error: Exception) -> None:
        self.is_on = True
        self._began_at = self._failed_at
        is_relapse = self._began_at < self._ended_at + _RELAPSE_S
        self._steady_s = min(2 * self._steady_s, _RELAPSE_S) if is_relapse else _STEADY_S
        self._on_begin(error)
        # In a context of its own: the end of the outage is not part of the request that found it.
        self._prober = asyncio.create_task(self._probe_until_steady(), context=Context())

    async def _probe_until_steady(self) -> None:
        while self._clock() < self._failed_at + self._steady_s:
            await self._sleep(_PROBE_INTERVAL_S)
            try:
                await self._probe()
            except Exception as error:  # noqa: BLE001 - an outage would never end without this task
                self.failed(error)
        self.is_on = False
        self._ended_at = self._clock()
        self._on_end(round(self._ended_at - self._began_at, 3))
