"""Identical calls at the same time become one.

Named after Go's `golang.org/x/sync/singleflight`. Here a call is a series of values (an answer in
one piece is a series of one), because streams are shared too.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, Generic, Protocol, TypeVar

from app.resilience.race import cancel_and_wait

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
E = TypeVar("E", bound=BaseException)


class Values(Protocol[T_co]):
    """An iterator that can be closed, such as an async generator."""

    def __aiter__(self) -> AsyncIterator[T_co]: ...

    def aclose(self) -> Coroutine[Any, Any, None]: ...


Series = Callable[[], Values[T]]


# Values that a call may be ahead of its fastest reader. Without a bound the call of a client that does
# not read would fill the memory with its whole answer.
_MAX_AHEAD = 256


class SingleFlight(Generic[T]):
    """A caller that joins an identical call in flight first gets the values already produced, then live.

    Values are kept until the call ends. Afterwards nothing is kept, and no error either. The call
    runs in a task of its own, in the context of its first caller. A caller that leaves does not
    affect the others. When the last one leaves, the call is cancelled and awaited. The call waits for
    the fastest caller, and for no other.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._flights

    async def join(self, key: str, call: Series[T]) -> AsyncGenerator[T, None]:
        """Yield the values of `call()`, or of an identical call in flight, and raise its error."""
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
                if not flight.task.done():
                    await cancel_and_wait([flight.task])

    def _begin(self, key: str, call: Series[T]) -> "_Flight[T]":
        flight = self._flights[key] = _Flight(call)

        def over(task: asyncio.Task[None]) -> None:
            self._forget(key, flight)
            flight.tell()
            if not task.cancelled():
                task.exception()  # retrieved, or asyncio logs that it never was

        flight.task.add_done_callback(over)
        return flight

    def _forget(self, key: str, flight: "_Flight[T]") -> None:
        if self._flights.get(key) is flight:  # or the next one, when this ended slowly
            del self._flights[key]


class _Flight(Generic[T]):
    """A call in flight, with the values that it has produced."""

    def __init__(self, call: Series[T]) -> None:
        self.passengers = 0
        self.task = asyncio.create_task(self._fly(call))
        self._values: list[T] = []
        self._news = asyncio.Event()
        self._furthest = 0  # how many values the fastest caller has read
        self._is_read = asyncio.Event()

    async def after(self, seen: int) -> Sequence[T]:
        """Wait for the values after the first `seen` ones; empty when the call has ended."""
        if seen > self._furthest:
            self._furthest = seen
            self._is_read.set()
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
                while len(self._values) - self._furthest >= _MAX_AHEAD:
                    self._is_read.clear()
                    await self._is_read.wait()


def _own(error: E) -> E:
    """Copy an error, so that each caller that raises it has a traceback of its own.

    Not by calling its class, which may have other parameters than `args`. An error that cannot be
    made again (Pydantic's) is raised itself.
    """
    try:
        own = type(error).__new__(type(error), *error.args)
    except TypeError:
        return error
    own.__dict__.update(error.__dict__)
    own.__cause__, own.__context__ = error.__cause__, error.__context__
    own.__suppress_context__ = error.__suppress_context__
    return own.with_traceback(error.__traceback__)
