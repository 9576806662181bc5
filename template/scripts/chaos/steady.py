"""An open load: questions at a fixed rate, whether earlier ones are answered or not.

Callers do not wait for each other's answers, so neither does the load. It is bounded: while as many questions are
on their way as it may have, it asks none, and the rate that was reached is below the one that was wanted.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from scripts.chaos.client import QUESTION, Answer, Client
from scripts.chaos.kept import KeptConnections

_STREAMED_EVERY = 10
_OK, _LIMITED = 200, 429


@dataclass
class Tally:
    """The questions of a phase, by what became of them."""

    asked: int = 0
    answered: int = 0
    refused: int = 0
    """Above a limit: 429, with the seconds to wait."""
    failed: Counter[int] = field(default_factory=Counter)
    """All others by their status; 0 without an answer, or for a stream without its last event."""
    asked_s: float = 0.0
    lasted_s: float = 0.0
    """Until the last answer."""

    @property
    def per_s(self) -> float:
        return self.asked / self.asked_s

    def count(self, answer: Answer, *, is_streamed: bool) -> None:
        is_whole = not is_streamed or b"event: done" in answer.body
        if answer.status == _OK and is_whole:
            self.answered += 1
        elif answer.status == _LIMITED and answer.headers.get("retry-after", "").isdigit():
            self.refused += 1
        else:
            self.failed[0 if answer.status == _OK else answer.status] += 1

    def __str__(self) -> str:
        statuses = f" {dict(self.failed)}" if self.failed else ""
        return (
            f"{self.asked:,} asked, {self.answered:,} answered, {self.refused:,} refused, "
            f"{self.failed.total():,} failed{statuses}"
        )


@dataclass(frozen=True)
class Load:
    """So many questions a second, at most so many at a time, of each provider in turn (of any, without names)."""

    per_s: float
    most_at_once: int
    providers: Sequence[str] = ()

    def question(self, number: int) -> Mapping[str, object]:
        """A question of its own: equal ones share an answer."""
        text = [{"role": "user", "content": f"Question {number} of {id(self)}"}]
        asked = {**QUESTION, "messages": text, "stream": number % _STREAMED_EVERY == 0}
        if self.providers:
            asked["provider"] = self.providers[number % len(self.providers)]
        return asked


@asynccontextmanager
async def steady(balancer: Client, load: Load) -> AsyncIterator[Tally]:
    """Ask for the time of the block, then wait for the answers that are still on their way."""
    tally, client, calls = Tally(), KeptConnections(balancer), set[asyncio.Task[None]]()
    clock = asyncio.get_running_loop().time
    started = clock()
    asking = asyncio.create_task(_ask_on(client, load, tally, calls))
    try:
        yield tally
        tally.asked_s = clock() - started
        if not asking.cancel():
            asking.result()  # it has no end of its own: raise its error
        await asyncio.gather(*calls)
        tally.lasted_s = clock() - started
    finally:
        for task in (asking, *calls):
            task.cancel()
        client.close()


async def _ask_on(
    client: KeptConnections, load: Load, tally: Tally, calls: set[asyncio.Task[None]]
) -> None:
    clock = asyncio.get_running_loop().time
    started = clock()
    for number in count():
        await asyncio.sleep(max(0.0, started + number / load.per_s - clock()))
        if len(calls) < load.most_at_once:
            tally.asked += 1
            call = asyncio.create_task(_ask(client, load.question(number), tally))
            calls.add(call)
            call.add_done_callback(calls.discard)


async def _ask(client: KeptConnections, question: Mapping[str, object], tally: Tally) -> None:
    answer = await client.ask("/v1/chat", json.dumps(question).encode())
    tally.count(answer, is_streamed=bool(question["stream"]))
