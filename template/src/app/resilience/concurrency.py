"""Many calls, a few at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
E = TypeVar("E", bound=Exception)


async def run_all(
    items: Iterable[S], call: Callable[[S], Awaitable[T]], *, limit: int, catch: type[E]
) -> list[T | E]:
    """Call once per item, at most `limit` at the same time; each item's value or its error, in order.

    Only errors of the kind `catch` are results. Any other one is a mistake: it ends the calls that
    run, and is raised. `limit` workers share the items, so ten thousand of them cost `limit` tasks
    and not ten thousand that wait for a semaphore.

    Raises `ValueError` for a limit below 1.
    """
    if limit < 1:
        raise ValueError("the limit is the number of calls at a time: at least 1")
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
