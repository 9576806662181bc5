"""Simulated time, in which hours take milliseconds.

`FakeClock` is for one sleeper. Here as many as you like sleep at the same time, by `asyncio.sleep`.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from scripts.lab.loop import VirtualLoop, now

__all__ = ["now", "run"]

T = TypeVar("T")


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`. The clock is `now`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)
