"""Regular probes of those from whom nothing has been heard for a while."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.resilience.health import Health
from app.resilience.tasks import end_all

# Processes that started together must not probe in the same instant for ever.
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class Patient:
    """Whose health is known from calls, and who can be asked when there are none."""

    health: Health
    ping: Callable[[], Awaitable[None]]  # raises when something is wrong


def not_reported(_name: str, _error: Exception, /) -> None:
    """The hook of someone who does not want to know."""


@asynccontextmanager
async def probing(
    patients: Mapping[str, Patient],
    interval_s: float,
    *,
    report: Callable[[str, Exception], None] = not_reported,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> AsyncIterator[None]:
    """Probe who had no call for `interval_s` seconds, again and again; 0 probes nobody, ever.

    The first probe comes after one interval: a service that starts does not begin with a round of
    calls. Each has its own task, so one that hangs delays nobody else's.
    """

    async def regularly(name: str, patient: Patient) -> None:
        while True:
            jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
            await sleep(interval_s * jitter)
            if patient.health.idle_s() < interval_s:
                continue
            error = await _complaint(patient)
            patient.health.probed(ok=error is None)
            if error is not None:
                report(name, error)

    probes = [regularly(*item) for item in patients.items()] if interval_s else []
    tasks = [asyncio.create_task(probe) for probe in probes]
    try:
        yield
    finally:
        await end_all(tasks)


async def _complaint(patient: Patient) -> Exception | None:
    try:
        await patient.ping()
    except Exception as error:  # noqa: BLE001 - nobody waits for this task and would hear it
        return error
    return None
