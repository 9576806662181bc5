"""Run many calls with a limit on how many run at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
E = TypeVar("E", bound=Exception)


async def gather_bounded(
    items: Iterable[S], call: Callable[[S], Awaitable[T]], *, limit: int, catch: type[E]
) -> list[T | E]:
    """Call once per item, at most `limit` at a time; return values and errors in order.

    Only errors of the class `catch` are results. Any other error is a bug: it cancels the running
    calls and is raised. `limit` workers share the items, so ten thousand items need `limit` tasks
    instead of ten thousand tasks that wait for a semaphore.

    Raises `ValueError` for a limit below 1.
    """
    if limit < 1:
        raise ValueError("the limit of concurrent calls must be at least 1")
    queue = [*items]
    results: dict[int, T | E] = {}
    todo = enumerate(queue)

    async def work() -> None:
        for index, item in todo:
            try:
                results[index] = await call(item)
            except catch as error:
                results[index] = error

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(limit, len(queue))):
                workers.create_task(work())
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return [results[index] for index in range(len(queue))]
