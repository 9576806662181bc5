"""The deadline of a caller: the time after which it does not wait for the answer any more.

A `ContextVar` is visible in every task that a request starts, so all calls of a request see one
deadline, those of its tools and documents included. Work that outlives the request runs `without_deadline`.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Deadline:
    """`ends` is a time of the event loop; `allowed_s` the time that the caller allows from the start."""

    allowed_s: float
    ends: float

    @property
    def remaining_s(self) -> float:
        return self.ends - asyncio.get_running_loop().time()


current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def remaining_s() -> float:
    """The seconds until the deadline of the caller; infinite without one."""
    deadline = current.get()
    return math.inf if deadline is None else deadline.remaining_s


@contextmanager
def without_deadline() -> Iterator[None]:
    """Tasks that start in this block have no deadline."""
    token = current.set(None)
    try:
        yield
    finally:
        current.reset(token)
