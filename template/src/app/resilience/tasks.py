"""How a task that nobody needs any more ends: cancelled, and waited for."""

import asyncio
from collections.abc import Iterable
from typing import Any


async def end_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until each has let go of what it held.

    A cancelled task still runs: it closes its connection, gives its place back. Whoever does not
    wait for that leaks both. Waits on even when the caller is cancelled meanwhile, and tells it
    afterwards. What the tasks raise on their way out is of no interest.
    """
    ending = [*tasks]
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
