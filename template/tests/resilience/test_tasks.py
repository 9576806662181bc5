import asyncio

import pytest

from app.resilience.race import cancel_and_wait


class Closing:
    """A task that takes time to close."""

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


async def test_ending_tasks_waits_until_all_have_closed() -> None:
    closing = [Closing(), Closing()]
    await turns()
    ending = asyncio.create_task(cancel_and_wait(each.task for each in closing))
    await turns()
    closing[0].may_close.set()
    await turns()
    assert not ending.done()
    closing[1].may_close.set()
    await ending
    assert all(each.closed.is_set() for each in closing)


async def test_cancelling_the_canceller_waits_for_the_tasks_and_is_raised() -> None:
    closing = Closing()
    await turns()
    ending = asyncio.create_task(cancel_and_wait([closing.task]))
    for _ in range(3):
        await turns()
        ending.cancel()
    await turns()
    assert not ending.done()
    closing.may_close.set()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert closing.closed.is_set()


async def test_an_error_of_a_cancelled_task_is_ignored() -> None:
    closing = Closing(KeyError("late"))
    await turns()
    closing.may_close.set()
    await cancel_and_wait([closing.task])
    assert closing.closed.is_set()


async def test_finished_tasks_and_an_empty_list_need_no_cancelling() -> None:
    task = asyncio.create_task(turns())
    await task
    await cancel_and_wait([task])
    await cancel_and_wait([])
