"""Percentiles of a stream of values, within 1% of the exact ones, in bounded memory.

A DDSketch (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile sketch with
relative-error guarantees", VLDB 2019). The widths of its buckets grow geometrically, so the middle
of a value's bucket differs from the value by at most the relative error. The sum of the sketches of
several times is the sketch of all their values, which a sliding window needs.
"""

import math
from collections.abc import Iterable

RELATIVE_ERROR = 0.01

# Values outside this range count as the nearest bound. In seconds: shorter than any clock measures,
# and longer than any request takes. The range has 1,245 buckets, and no sketch has more.
_SMALLEST = 1e-6
_LARGEST = 86_400.0

_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_E = 1 / math.log(_GROWTH)  # buckets per factor of e


class QuantileSketch:
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
