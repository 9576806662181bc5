"""Equal calls at the same time become one.

Named after Go's `golang.org/x/sync/singleflight`. Here a call is a series of values (an answer in
one piece is a series of one), because streams are shared too.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Generic, TypeVar

from app.resilience.tasks import end_all

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

Series = Callable[[], AsyncGenerator[T, None]]


class SingleFlight(Generic[T]):
    """Who comes while an equal call runs gets its values: first those it missed, then live.

    Values are kept until the call is over, and nothing is remembered afterwards, least of all an
    error. The call runs in a task of its own, in the context of who came first. One who leaves
    disturbs nobody else; with the last one the call is cancelled, and awaited.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    async def join(self, key: str, call: Series[T]) -> AsyncGenerator[T, None]:
        """The values of `call()`, or of an equal call that runs. Raises what that raises."""
        flight = self._flights.get(key) or self._begin(key, call)
        flight.passengers += 1
        seen = 0
        try:
            while values := await flight.after(seen):
                seen += len(values)
                for value in values:
                    yield value
        finally:
            flight.passengers -= 1
            if not flight.passengers:
                self._forget(key, flight)
                await end_all([flight.task])

    def _begin(self, key: str, call: Series[T]) -> "_Flight[T]":
        flight = self._flights[key] = _Flight(call)

        def over(_task: asyncio.Task[None]) -> None:
            self._forget(key, flight)
            flight.tell()

        flight.task.add_done_callback(over)
        return flight

    def _forget(self, key: str, flight: "_Flight[T]") -> None:
        if self._flights.get(key) is flight:  # or the next one, when this ended slowly
            del self._flights[key]


class _Flight(Generic[T]):
    """One call that runs, and what has come of it."""

    def __init__(self, call: Series[T]) -> None:
        self.passengers = 0
        self.task = asyncio.create_task(self._fly(call))
        self._values: list[T] = []
        self._news = asyncio.Event()

    async def after(self, seen: int) -> Sequence[T]:
        """Wait for what comes after the first `seen` values; nothing, if they were all."""
        while len(self._values) == seen and not self.task.done():
            await self._news.wait()
        if len(self._values) == seen and (error := self.task.exception()) is not None:
            raise _own(error)
        return self._values[seen:]

    def tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _fly(self, call: Series[T]) -> None:
        async with aclosing(call()) as values:
            async for value in values:
                self._values.append(value)
                self.tell()


def _own(error: E) -> E:
    """Copy an error, so that each who raises it has a traceback of their own.

    Not by calling its class, which may want to know more than its arguments.
    """
    own = type(error).__new__(type(error), *error.args)
    own.__dict__.update(error.__dict__)
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    return own.with_traceback(error.__traceback__)
