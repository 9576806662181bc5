"""Plays one incident at a time; between plays the service runs with its defaults."""

import asyncio

from app.resilience.race import cancel_and_wait
from scripts.lab.incident import Incident, Load, Pledge, load
from scripts.lab.live.bus import Bus, Event
from scripts.lab.live.stage import Stage
from scripts.lab.live.words import about
from scripts.lab.play import perform, verdicts
from scripts.lab.stack import Lab

_IDLE = "yours"
_CALM = Incident(
    title="No incident: the service waits for your requests",
    guard="",
    load=[Load(per_second=1, for_s=1)],
    pledges=[Pledge(measure="own_errors", at_most=0)],
)


class Director:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._changing = asyncio.Lock()
        self._running: asyncio.Task[None] | None = None

    @property
    def _bus(self) -> Bus:
        return self._stage.bus

    async def play(self, name: str) -> None:
        """Restart the service with the settings of the incident, and let it happen."""
        await self._change(name, load(name))

    async def idle(self) -> None:
        await self._change(_IDLE, _CALM)

    async def close(self) -> None:
        async with self._changing:
            await self._end()

    async def _change(self, name: str, incident: Incident) -> None:
        """End the present incident and begin this one. Returns once the service takes requests, or has failed to start."""
        async with self._changing:
            await self._end()
            is_ready = asyncio.Event()
            self._running = asyncio.create_task(self._run(name, incident, is_ready))
            ready = asyncio.create_task(is_ready.wait())
            await asyncio.wait([self._running, ready], return_when=asyncio.FIRST_COMPLETED)
            await cancel_and_wait([ready])

    async def _end(self) -> None:
        if self._running is not None:
            await cancel_and_wait([self._running])

    async def _run(self, name: str, incident: Incident, is_ready: asyncio.Event) -> None:
        try:
            async with self._stage.running(name, incident) as lab:
                self._bus.begin({} if incident is _CALM else {"play": about(name, incident)})
                lab.started_at = asyncio.get_running_loop().time()
                is_ready.set()
                if incident is not _CALM:
                    await perform(lab, incident)
                    self._bus.publish(_ending(incident, lab))
                await asyncio.Event().wait()
        except Exception as error:  # noqa: BLE001 - the page shows it, and the lab goes on
            self._bus.begin({})
            self._bus.publish({"kind": "failed", "why": f"{type(error).__name__}: {error}"})


def _ending(incident: Incident, lab: Lab) -> Event:
    found = verdicts(incident, lab.recording)
    return {
        "kind": "end",
        "verdicts": [{"value": _finite(each.value), "is_kept": each.is_kept} for each in found],
    }


def _finite(value: float) -> str:
    return "never" if value == float("inf") else f"{value:.4g}"
