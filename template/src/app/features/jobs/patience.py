"""Calls of the queue that have to succeed: a worker repeats them until Redis answers."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.features.jobs.store import JobsUnavailableError

T = TypeVar("T")

OUTAGE_S = 1.0


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until Redis answers."""
    while True:
        try:
            return await ask()
        except JobsUnavailableError:
            await asyncio.sleep(OUTAGE_S)
