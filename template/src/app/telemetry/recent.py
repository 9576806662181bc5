"""Call statistics of the last minutes, with percentiles, readable without a query language.

Time is divided into slices with counts and a sketch of durations, and the newest slice replaces the
oldest. So the window slides, and the number of slices and of names limits its memory.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

WINDOW_S = 300.0
_SLICES = 30

RELATIVE_ERROR = 0.01

# Values outside this range count as the nearest bound. In seconds: shorter than any clock measures,
# and longer than any request takes. The range has 1,245 buckets, and no sketch has more.
_SMALLEST = 1e-6
_LARGEST = 86_400.0

_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_E = 1 / math.log(_GROWTH)  # buckets per factor of e


class QuantileSketch:
    """Percentiles of a stream of values, within 1% of the exact ones, in bounded memory.

    A DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
    relative-error guarantees", VLDB 2019). The widths of its buckets grow geometrically, so the
    middle of a value's bucket differs from the value by at most the relative error. The sum of the
    sketches of several times is the sketch of all their values, which a sliding window needs.
    """

    __slots__ = ("buckets", "count")

    def __init__(self) -> None:
        self.count = 0
        self.buckets: dict[int, int] = {}

    def add(self, value: float) -> None:
        bounded = min(max(value, _SMALLEST), _LARGEST)
        bucket = math.ceil(math.log(bounded) * _PER_E)
        self.buckets[bucket] = self.buckets.get(bucket, 0) + 1
        self.count += 1

    def quantile(self, q: float) -> float | None:
        """The smallest value that a share of `q` does not exceed (nearest rank); None if empty."""
        rank = max(math.ceil(q * self.count), 1)
        for bucket in sorted(self.buckets):
            rank -= self.buckets[bucket]
            if rank <= 0:
                return 2 * _GROWTH**bucket / (_GROWTH + 1)
        return None

    @classmethod
    def merged(cls, sketches: Iterable["QuantileSketch"]) -> "QuantileSketch":
        whole = cls()
        for sketch in sketches:
            whole.count += sketch.count
            for bucket, count in sketch.buckets.items():
                whole.buckets[bucket] = whole.buckets.get(bucket, 0) + count
        return whole


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
