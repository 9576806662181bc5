"""The requests: each comes at its moment, whatever became of those before."""

import asyncio
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.clients.account import ANONYMOUS
from scripts.lab.loop import now
from scripts.simulate.fleet import Fleet
from scripts.simulate.recording import Asked, Recording

# A client that is not connected comes again after this time, on average.
_AGAIN_S = 1.0

HOT_QUESTION = "What is the highest mountain of Germany?"


@dataclass(frozen=True, slots=True)
class Request:
    """`index` is that of its replica; its client comes again after `again_s` if it is not there."""

    at_s: float
    index: int
    question: str
    client: str = ANONYMOUS
    again_s: float = _AGAIN_S


@dataclass(frozen=True, slots=True)
class Load:
    """Requests a second at random moments, to random replicas.

    `hot` is the part of them that asks the same question, and `clients` the number of clients.
    """

    rate: float
    seconds: float
    hot: float = 0.0
    clients: int = 0

    def requests(self, replicas: int, seed: int) -> Iterator[Request]:
        chosen = random.Random(f"{seed} load")  # noqa: S311 - the same requests in each run
        at_s, number = chosen.expovariate(self.rate), 0
        while at_s < self.seconds:
            number += 1
            yield Request(
                at_s,
                index=chosen.randrange(replicas),
                question=HOT_QUESTION if chosen.random() < self.hot else f"What is {number}?",
                client=f"client-{chosen.randrange(self.clients)}" if self.clients else ANONYMOUS,
                again_s=chosen.uniform(0.5, 1.5) * _AGAIN_S,
            )
            at_s += chosen.expovariate(self.rate)


async def send_all(requests: Iterable[Request], fleet: Fleet, recording: Recording) -> None:
    """Returns when each request has its end."""
    started_at = now()
    async with asyncio.TaskGroup() as group:
        for request in requests:
            await asyncio.sleep(max(0.0, started_at + request.at_s - now()))
            group.create_task(_send(request, fleet, recording))


async def _send(request: Request, fleet: Fleet, recording: Recording) -> None:
    """A client that loses its connection, or finds none, comes again until it has an answer."""
    began_at = now()
    while True:
        outcome = await fleet.ask(request.index, request.question, request.client)
        if outcome is not None:
            recording.asked.append(Asked(request.at_s, now() - began_at, outcome))
            return
        await asyncio.sleep(request.again_s)
