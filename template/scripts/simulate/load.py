"""The requests: each comes at a random moment, to a random replica, whatever became of those before."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.lab.loop import now
from scripts.simulate.fleet import Fleet
from scripts.simulate.recording import Asked, Recording

# A client that is not connected comes again after this time, on average.
_AGAIN_S = 1.0

HOT_QUESTION = "What is the highest mountain of Germany?"


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second to the whole fleet, and the part of them that asks the same question."""

    rate: float
    seconds: float
    hot: float = 0.0
    seed: int = 1

    def times(self) -> Iterator[float]:
        gaps = random.Random(f"{self.seed} times")  # noqa: S311 - the same times in each run
        at = gaps.expovariate(self.rate)
        while at < self.seconds:
            yield at
            at += gaps.expovariate(self.rate)

    async def send_all(self, fleet: Fleet, recording: Recording, group: asyncio.TaskGroup) -> None:
        choices = random.Random(f"{self.seed} choices")  # noqa: S311 - likewise
        started_at = now()
        for number, at in enumerate(self.times()):
            await asyncio.sleep(max(0.0, started_at + at - now()))
            request = _Request(
                sent_s=at,
                question=HOT_QUESTION if choices.random() < self.hot else f"What is {number}?",
                index=choices.randrange(len(fleet.replicas)),
                again_s=choices.uniform(0.5, 1.5) * _AGAIN_S,
            )
            group.create_task(_send(request, fleet, recording))


@dataclass(frozen=True, slots=True)
class _Request:
    """`index` is that of its replica."""

    sent_s: float
    question: str
    index: int
    again_s: float


async def _send(request: _Request, fleet: Fleet, recording: Recording) -> None:
    """A client that loses its connection, or finds none, comes again until it has an answer."""
    began_at = now()
    while True:
        outcome = await fleet.ask(request.index, request.question)
        if outcome is not None:
            recording.asked.append(Asked(request.sent_s, now() - began_at, outcome))
            return
        await asyncio.sleep(request.again_s)
