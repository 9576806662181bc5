"""The events of a play: kept from its beginning, and sent to each open page."""

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager

Event = dict[str, object]

# A play has a few thousand events. A service that is only called by hand may run for days.
_KEPT = 20_000
_UNREAD = 2 * _KEPT


class Bus:
    """`clock` is in seconds. Events have the time `at`, in seconds from the beginning of the play."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pages: set[asyncio.Queue[Event | None]] = set()
        self.begin({})

    @property
    def at(self) -> float:
        return self._clock() - self._began

    @property
    def pages(self) -> int:
        return len(self._pages)

    def begin(self, what: Event) -> None:
        """Begin a play: the events of the last one are forgotten."""
        self._began = self._clock()
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._passing: Event | None = None
        self._began_with = self._timed({"kind": "begin", **what})
        self._send(self._began_with)

    def publish(self, event: Event) -> None:
        timed = self._timed(event)
        self._kept.append(timed)
        self._send(timed)

    def replace(self, event: Event) -> None:
        """An event of which only the last one matters, such as the values of gauges."""
        self._passing = self._timed(event)
        self._send(self._passing)

    @contextmanager
    def open(self) -> Generator[asyncio.Queue[Event | None]]:
        """The events of a page: those so far, then new ones, and `None` at the end of the lab."""
        page: asyncio.Queue[Event | None] = asyncio.Queue()
        for event in (self._began_with, *self._kept, *filter(None, [self._passing])):
            page.put_nowait(event)
        self._pages.add(page)
        try:
            yield page
        finally:
            self._pages.discard(page)

    def close(self) -> None:
        for page in self._pages:
            page.put_nowait(None)

    def _timed(self, event: Event) -> Event:
        return {**event, "at": round(self.at, 4)}

    def _send(self, event: Event) -> None:
        """A page that does not read is closed. Its browser connects again, and gets all events."""
        for page in [*self._pages]:
            if page.qsize() >= _UNREAD:
                self._pages.discard(page)
            page.put_nowait(event if page in self._pages else None)
