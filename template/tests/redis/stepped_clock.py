"""A clock for a task that sleeps in the background: time passes only in `advance`."""

import asyncio

_TURNS = 20  # of the loop, in which a task that wakes does its work


class SteppedClock:
    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Let time pass, and wake each sleeper at its time."""
        end = self.now + seconds
        await _let_others_run()
        while due := [sleeper for sleeper in self._sleepers if sleeper[0] <= end]:
            first = min(due, key=lambda sleeper: sleeper[0])
            self._sleepers.remove(first)
            self.now, woken = first
            if not woken.done():
                woken.set_result(None)
            await _let_others_run()
        self.now = end


async def _let_others_run() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
