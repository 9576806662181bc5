import asyncio

import pytest

from app.resilience.tasks import end_all


class Closing:
    """A task that takes its time to let go."""

    def __init__(self, error: Exception | None = None) -> None:
        self.closed = asyncio.Event()
        self.may_close = asyncio.Event()
        self._error = error
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self.may_close.wait()
            self.closed.set()
            if self._error is not None:
                raise self._error


async def turns(number: int = 3) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_an_ended_task_has_let_go() -> None:
    closing = [Closing(), Closing()]
    await turns()
    ending = asyncio.create_task(end_all(each.task for each in closing))
    await turns()
    closing[0].may_close.set()
    await turns()
    assert not ending.done()
    closing[1].may_close.set()
    await ending
    assert all(each.closed.is_set() for each in closing)


async def test_who_is_cancelled_while_it_ends_others_waits_for_them_and_hears_of_it() -> None:
    closing = Closing()
    await turns()
    ending = asyncio.create_task(end_all([closing.task]))
    for _ in range(3):
        await turns()
        ending.cancel()
    await turns()
    assert not ending.done()
    closing.may_close.set()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert closing.closed.is_set()


async def test_what_a_task_raises_on_its_way_out_is_of_no_interest() -> None:
    closing = Closing(KeyError("late"))
    await turns()
    closing.may_close.set()
    await end_all([closing.task])
    assert closing.closed.is_set()


async def test_what_is_over_or_was_never_there_needs_no_end() -> None:
    task = asyncio.create_task(turns())
    await task
    await end_all([task])
    await end_all([])
