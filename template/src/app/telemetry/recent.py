"""How calls went during the last minutes: for a person, without a query language.

Time is cut into slices, each with counts and a sketch of durations; the oldest slice is reused for
the newest. So the window slides, and its memory is bounded by its slices and by the names in it.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.telemetry.sketch import QuantileSketch

WINDOW_S = 300.0
_SLICES = 30


@dataclass(frozen=True, slots=True)
class Statistics:
    """Of one kind of call, within the window. Percentiles are null when nothing was called."""

    count: int
    errors: int
    error_rate: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(slots=True)
class _Slice:
    number: int = -1
    errors: int = 0
    durations: QuantileSketch = field(default_factory=QuantileSketch)


class Recent:
    """Calls of the last `window_s` seconds by name. Names are the caller's to bound."""

    def __init__(
        self, window_s: float = WINDOW_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.window_s = window_s
        self._clock = clock
        self._slice_s = window_s / _SLICES
        self._rings: dict[str, list[_Slice]] = {}

    def add(self, name: str, duration_s: float, *, failed: bool) -> None:
        current = self._current(name)
        current.durations.add(duration_s)
        current.errors += failed

    def statistics(self) -> dict[str, Statistics]:
        """What was called within the window, by name, in alphabetical order."""
        newest = self._slice_number()
        oldest = newest - _SLICES + 1
        found = {}
        for name, ring in sorted(self._rings.items()):
            slices = [piece for piece in ring if oldest <= piece.number <= newest]
            if slices:
                found[name] = _statistics(slices)
        return found

    def _slice_number(self) -> int:
        return int(self._clock() // self._slice_s)

    def _current(self, name: str) -> _Slice:
        ring = self._rings.get(name)
        if ring is None:
            ring = self._rings[name] = [_Slice() for _ in range(_SLICES)]
        number = self._slice_number()
        current = ring[number % _SLICES]
        if current.number != number:
            current = ring[number % _SLICES] = _Slice(number)
        return current


def _statistics(slices: list[_Slice]) -> Statistics:
    durations = QuantileSketch.merged(piece.durations for piece in slices)
    errors = sum(piece.errors for piece in slices)
    return Statistics(
        count=durations.count,
        errors=errors,
        error_rate=round(errors / durations.count, 4),
        p50_ms=_milliseconds(durations.quantile(0.5)),
        p95_ms=_milliseconds(durations.quantile(0.95)),
        p99_ms=_milliseconds(durations.quantile(0.99)),
    )


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
