"""Identical streams at the same time become one.

Named after Go's `golang.org/x/sync/singleflight`. Here a call is a series of values, and
each of its callers reads them at its own pace.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any, Generic, Protocol, Self, TypeVar

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
# not read would fill the memory with its whole answer. It goes on when half of them are read.
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

    def join(self, key: str, call: Series[T]) -> "Joined[T]":
        """The values of `call()`, or of an identical call in flight; read first, it begins the call."""
        return Joined(self._flights, key, call)


class Joined(Generic[T]):
    """The values of a call, for one of its callers. The caller closes it (`contextlib.aclosing`)."""

    def __init__(self, flights: dict[str, "_Flight[T]"], key: str, call: Series[T]) -> None:
        self._flights = flights
        self._key = key
        self._call = call
        self._flight: _Flight[T] | None = None
        self._seen = 0
        self._is_closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        """The next value. Raises the error of the call."""
        if self._is_closed:
            raise StopAsyncIteration
        flight = self._flight
        if flight is None:
            flight = self._flight = self._boarded()
        try:
            if self._seen > flight.furthest:
                flight.read(self._seen)
            while len(flight.values) == self._seen:
                await flight.news()
        except BaseException:
            await self.aclose()
            raise
        value = flight.values[self._seen]
        self._seen += 1
        return value

    def _boarded(self) -> "_Flight[T]":
        flight = self._flights.get(self._key)
        if flight is None:
            flight = self._flights[self._key] = _Flight(self._flights, self._key, self._call)
        flight.passengers += 1
        return flight

    def peek(self) -> T | None:
        """The next value if it has been produced already: reading it does not wait."""
        flight = self._flight
        if flight is None or len(flight.values) == self._seen:
            return None
        return flight.values[self._seen]

    async def aclose(self) -> None:
        self._is_closed = True
        flight, self._flight = self._flight, None
        if flight is None:
            return
        flight.passengers -= 1
        if not flight.passengers:
            flight.forget()
            if not flight.task.done():
                await cancel_and_wait([flight.task])


class _Flight(Generic[T]):
    """A call in flight, with the values that it has produced."""

    def __init__(self, flights: dict[str, "_Flight[T]"], key: str, call: Series[T]) -> None:
        self.passengers = 0
        self.values: list[T] = []
        self.furthest = 0  # how many values the fastest caller has read
        self._flights = flights
        self._key = key
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        self._is_read: asyncio.Future[None] | None = None
        self.task = asyncio.create_task(self._fly(call))
        self.task.add_done_callback(self._end)

    def read(self, count: int) -> None:
        """The fastest caller has read so many values."""
        self.furthest = count
        if self._is_read is not None and len(self.values) - count <= _MAX_AHEAD // 2:
            if not self._is_read.done():  # cancelled
                self._is_read.set_result(None)
            self._is_read = None

    def forget(self) -> None:
        """Let the next caller begin a call of its own."""
        if self._flights.get(self._key) is self:  # or the next one, when this ended slowly
            del self._flights[self._key]

    async def news(self) -> None:
        """Wait for a value. Raises the error of the call, or `StopAsyncIteration` at its end."""
        if not self.task.done():
            waiting = self._loop.create_future()
            self._waiting.append(waiting)
            await waiting
        elif (error := self.task.exception()) is not None:
            raise own_error(error)
        else:
            raise StopAsyncIteration

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            if not one.done():  # cancelled
                one.set_result(None)

    def _end(self, task: asyncio.Task[None]) -> None:
        self.forget()
        if self._waiting:
            self._tell()
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio logs that it never was

    async def _fly(self, call: Series[T]) -> None:
        async with aclosing(call()) as values:
            async for value in values:
                self.values.append(value)
                if self._waiting:
                    self._tell()
                if len(self.values) - self.furthest >= _MAX_AHEAD:
                    self._is_read = self._loop.create_future()
                    await self._is_read


def own_error(error: E) -> E:
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
