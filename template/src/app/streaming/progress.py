"""How far a stream is, for a metric, a progress bar or a notebook.

async for event in reported(model.stream(request), size=text_length, tell=bar.update):
    ...
"""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

import structlog

_log = structlog.get_logger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """The received part of a stream. `first_s`: seconds until the first chunk with a character."""

    chunks: int
    characters: int
    elapsed_s: float
    first_s: float | None


ProgressCallback = Callable[[StreamProgress], object]


class StreamMeter:
    """Counts the chunks of one stream, and calls `tell` after each of them."""

    def __init__(
        self,
        tell: ProgressCallback | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.first_s: float | None = None
        self.elapsed_s = 0.0
        self.chunks = 0
        self._characters = 0
        self._tell = tell
        self._clock = clock
        self._started = clock()

    def arrived(self, characters: int) -> None:
        """Count a chunk, unless it is empty."""
        if not characters:
            return
        self.chunks += 1
        self._characters += characters
        self.elapsed_s = self._clock() - self._started
        if self.first_s is None:
            self.first_s = self.elapsed_s
        if self._tell is not None:
            self._report(self._tell)

    def _report(self, tell: ProgressCallback) -> None:
        """A callback that fails is logged and not called again: it must not break the stream."""
        try:
            tell(StreamProgress(self.chunks, self._characters, self.elapsed_s, self.first_s))
        except Exception as error:  # noqa: BLE001 - foreign code that only watches
            self._tell = None
            _log.warning("stream.progress_failed", error=type(error).__name__)


async def reported(
    items: AsyncGenerator[T, None],
    *,
    size: Callable[[T], int],
    tell: ProgressCallback,
    clock: Callable[[], float] = time.perf_counter,
) -> AsyncGenerator[T, None]:
    """The same stream; `tell` is called for each item that has a `size`, before the reader gets it."""
    meter = StreamMeter(tell, clock=clock)
    async with aclosing(items):
        async for item in items:
            meter.arrived(size(item))
            yield item
