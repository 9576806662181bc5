import asyncio
from dataclasses import dataclass, field

import pytest
from fastapi import Request
from starlette.types import Message

from app.api.disconnect import until_disconnect


@dataclass
class Caller:
    """A caller that leaves when the test says so."""

    has_left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def request(self) -> Request:
        return Request({"type": "http"}, self._receive)

    async def _receive(self) -> Message:
        await self.has_left.wait()
        return {"type": "http.disconnect"}


@dataclass
class Work:
    """Work that ends with its error, or never; it closes what it holds when it is cancelled."""

    error: Exception | None = None
    error_of_closing: Exception | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    async def run(self) -> str:
        self.started.set()
        try:
            if self.error is not None:
                raise self.error
            await asyncio.Event().wait()
        finally:
            for _ in range(5):  # closing takes time
                await asyncio.sleep(0)
            self.is_closed = True
            if self.error_of_closing is not None:
                raise self.error_of_closing
        return "never"


async def answer() -> str:
    return "answer"


async def test_work_that_ends_gives_its_answer() -> None:
    assert await until_disconnect(Caller().request, answer()) == "answer"


async def test_an_error_of_the_work_is_raised() -> None:
    with pytest.raises(ValueError, match="wrong"):
        await until_disconnect(Caller().request, Work(error=ValueError("wrong")).run())


@pytest.mark.parametrize("error", [None, ValueError("while closing")], ids=str)
async def test_the_work_for_a_caller_that_leaves_is_closed(error: Exception | None) -> None:
    caller, work = Caller(), Work(error_of_closing=error)
    running = asyncio.create_task(until_disconnect(caller.request, work.run()))
    await work.started.wait()
    caller.has_left.set()
    assert await running is None
    assert work.is_closed


@pytest.mark.parametrize("rounds", [None, 0, 1, 2, 3], ids="left {} rounds before".format)
async def test_a_cancelled_request_closes_its_work_and_stays_cancelled(rounds: int | None) -> None:
    caller, work = Caller(), Work()
    running = asyncio.create_task(until_disconnect(caller.request, work.run()))
    await work.started.wait()
    if rounds is not None:
        caller.has_left.set()
        for _ in range(rounds):  # of the event loop
            await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert work.is_closed


async def test_nothing_waits_for_the_caller_after_the_answer() -> None:
    await until_disconnect(Caller().request, answer())
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
