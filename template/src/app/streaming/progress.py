"""Tell somebody how far a stream is: a progress bar, a notebook, a metric.

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
    """What has arrived so far. `first_s` is when the first chunk with a character in it did."""

    chunks: int
    characters: int
    elapsed_s: float
    first_s: float | None


ProgressCallback = Callable[[StreamProgress], object]


async def reported(
    items: AsyncGenerator[T, None],
    *,
    size: Callable[[T], int],
    tell: ProgressCallback,
    clock: Callable[[], float] = time.perf_counter,
) -> AsyncGenerator[T, None]:
    """The same stream; `tell` hears of each item that has a `size`, before the reader gets it.

    A callback that fails is logged and not called again: whoever watches a stream must not be able
    to break it.
    """
    started = clock()
    chunks = characters = 0
    first_s: float | None = None
    listener: ProgressCallback | None = tell
    async with aclosing(items):
        async for item in items:
            if (length := size(item)) and listener is not None:
                elapsed_s = clock() - started
                chunks, characters = chunks + 1, characters + length
                first_s = elapsed_s if first_s is None else first_s
                listener = _told(listener, StreamProgress(chunks, characters, elapsed_s, first_s))
            yield item


def _told(listener: ProgressCallback, progress: StreamProgress) -> ProgressCallback | None:
    """Who is to be told next time: the same, or nobody."""
    try:
        listener(progress)
    except Exception as error:  # noqa: BLE001 - somebody else's code, which only watches
        _log.warning("stream.progress_failed", error=type(error).__name__)
        return None
    return listener
