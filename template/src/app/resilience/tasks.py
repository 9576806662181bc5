"""How a task that nobody needs any more ends: cancelled, and waited for."""

import asyncio
from collections.abc import Iterable
from typing import Any


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until each has let go of what it held.

    A cancelled task still runs: it closes its connection, gives its place back. Whoever does not
    wait for that leaks both. So a caller that is cancelled meanwhile waits on and hears of it
    afterwards, and the tasks are cancelled once: a second time would hit them in the middle of
    letting go. What they raise on their way out is of no interest.
    """
    ending = [*tasks]
    for task in ending:
        task.cancel()
    cancelled: asyncio.CancelledError | None = None
    while any(not task.done() for task in ending):
        try:
            await asyncio.wait(ending)
        except asyncio.CancelledError as error:
            cancelled = error
    for task in ending:
        if not task.cancelled():
            task.exception()  # looked at, or asyncio complains that nobody did
    if cancelled is not None:
        raise cancelled
