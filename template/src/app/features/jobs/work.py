"""How a worker treats the queue: work ends when it is no longer ours, and calls wait for Redis."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from app.features.jobs.store import JobsUnavailableError
from app.resilience.race import cancel_and_wait

T = TypeVar("T")

Report = Callable[[], Awaitable[bool]]

OUTAGE_S = 1.0


class NotOursError(Exception):
    """The work has been ended before it was done."""


async def while_ours(work: Coroutine[Any, Any, T], report: Report, every_s: float) -> T:
    """The result of the work, in a task of its own. Raises `NotOursError` once `report` says no."""
    running = asyncio.create_task(work)
    reporting = asyncio.create_task(_report(report, every_s, running))
    try:
        await asyncio.wait({running, reporting}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise NotOursError
        return running.result()
    finally:
        await cancel_and_wait([running, reporting])


async def _report(report: Report, every_s: float, running: asyncio.Task[T]) -> None:
    """Report until the work is no longer ours. An outage of Redis is no reason to stop.

    A call of Redis may lose a cancellation: `asyncio.wait_for` does, before Python 3.12. So the end of
    the work ends this loop too.
    """
    is_ours = True
    while is_ours and not running.done():
        await asyncio.sleep(every_s)
        with suppress(JobsUnavailableError):
            is_ours = await report()


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until Redis answers."""
    while True:
        try:
            return await ask()
        except JobsUnavailableError:
            await asyncio.sleep(OUTAGE_S)
