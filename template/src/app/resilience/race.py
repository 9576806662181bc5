"""Several calls for one answer: the first one wins, and the others leave nothing behind."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from app.resilience.tasks import end_all

T = TypeVar("T")

Call = Callable[[], Awaitable[T]]
Discard = Callable[[T], Awaitable[None]]


async def nothing_held(_value: object, /) -> None:
    """Discard a value that holds nothing open."""


async def first_completed(
    calls: Sequence[Call[T]], *, catch: type[Exception], discard: Discard[T] = nothing_held
) -> T:
    """Make all calls at once and return the first value that arrives.

    The others are cancelled and awaited, and a value that comes too late is given to `discard`. An
    error of the kind `catch` leaves it to the others; when none is left, the first call's error is
    raised: what the caller would have seen without the others. Any other error is raised at once.
    """
    return await race([start(call) for call in calls], catch=catch, discard=discard)


def start(call: Call[T]) -> asyncio.Task[T]:
    async def made() -> T:
        return await call()

    return asyncio.create_task(made())


async def race(
    tasks: Sequence[asyncio.Task[T]], *, catch: type[Exception], discard: Discard[T] = nothing_held
) -> T:
    """`first_completed`, for calls that run already. They end with this, whatever happens."""
    try:
        winner = await _first_success(tasks, catch)
        await let_go([task for task in tasks if task is not winner], discard)
    except BaseException:
        await let_go(tasks, discard)
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


async def let_go(tasks: Sequence[asyncio.Task[T]], discard: Discard[T] = nothing_held) -> None:
    """End the tasks; a cancelled one may still have a value, which somebody has to close."""
    try:
        await end_all(tasks)
    finally:
        for task in tasks:
            if not task.cancelled() and task.exception() is None:
                await discard(task.result())
