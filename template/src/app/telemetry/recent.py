"""Call statistics of the last minutes, readable without a query language.

Time is divided into slices with counts and a sketch of durations, and the newest slice replaces the
oldest. So the window slides, and the number of slices and of names limits its memory.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from app.telemetry.sketch import QuantileSketch

WINDOW_S = 300.0
_SLICES = 30


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of one kind of call in the window. Percentiles are null without calls."""

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
    """Calls of the last `window_s` seconds by name. The caller must limit the number of names."""

    def __init__(
        self, window_s: float = WINDOW_S, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.window_s = window_s
        self._clock = clock
        self._slice_s = window_s / _SLICES
        self._rings: dict[str, list[_Slice]] = {}

    def add(self, name: str, duration_s: float, *, failed: bool) -> None:
        ring = self._rings.get(name)
        if ring is None:
            ring = self._rings[name] = [_Slice() for _ in range(_SLICES)]
        number = int(self._clock() // self._slice_s)
        current = ring[number % _SLICES]
        if current.number != number:
            current = ring[number % _SLICES] = _Slice(number)
        current.durations.add(duration_s)
        current.errors += failed

    def statistics(self) -> dict[str, Statistics]:
        """The statistics of each name with calls in the window, in alphabetical order."""
        newest = int(self._clock() // self._slice_s)
        oldest = newest - _SLICES + 1
        found = {}
        for name, ring in sorted(self._rings.items()):
            slices = [piece for piece in ring if oldest <= piece.number <= newest]
            if slices:
                found[name] = _statistics(slices)
        return found


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
