"""Tasks that race for one answer: the first one wins, and the others are cancelled and awaited."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

Call = Callable[[], Awaitable[T]]
Discard = Callable[[T], Awaitable[None]]


async def no_discard(_value: object, /) -> None:
    """For values that hold nothing open."""


def start(call: Call[T]) -> asyncio.Task[T]:
    async def made() -> T:
        return await call()

    return asyncio.create_task(made())


async def first_completed(
    tasks: Sequence[asyncio.Task[T]], *, catch: type[Exception], discard: Discard[T] = no_discard
) -> T:
    """Return the first value that arrives. None of the tasks runs when this returns.

    The other tasks are cancelled and awaited, and `discard` gets a value that arrives too late. A
    task that fails with an error of the class `catch` leaves the race. If all fail, the error of the
    first task is raised: without the race the caller would have got that one. Any other error is raised
    at once.
    """
    try:
        winner = await _first_success(tasks, catch)
        await discard_losers([task for task in tasks if task is not winner], discard)
    except BaseException:
        await discard_losers(tasks, discard)
        raise
    return winner.result()


async def _first_success(
    tasks: Sequence[asyncio.Task[T]], catch: type[Exception]
) -> asyncio.Task[T]:
    """Wait for a task with a value; the first task, with its error, if there is none."""
    running = {*tasks}
    while running:
        _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task in running:
                continue
            error = task.exception()
            if error is None:
                return task
            if not isinstance(error, catch):
                raise error
    return tasks[0]


async def discard_losers(
    tasks: Sequence[asyncio.Task[T]], discard: Discard[T] = no_discard
) -> None:
    """Cancel the tasks, and discard the value of a task that had ended before."""
    try:
        await cancel_and_wait(tasks)
    finally:
        for task in tasks:
            if not task.cancelled() and task.exception() is None:
                await discard(task.result())


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until each of them has ended.

    A cancelled task still runs: it closes its connection and gives its place in the pool back. Tasks
    are cancelled only once, so that their cleanup is not interrupted.
    """
    ending = [*tasks]
    for task in ending:
        task.cancel()
    await wait_for_end(ending)


async def wait_for_end(ending: Sequence[asyncio.Task[Any]]) -> None:
    """Wait until each of the tasks has ended. Their errors are dropped.

    If the caller is cancelled while waiting, it still waits for the tasks and re-raises afterwards.
    """
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in ending if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in ending:
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio logs that it never was
    if cancelled is not None:
        raise cancelled
