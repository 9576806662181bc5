import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured value. With a `limit`, the value must stay below it.

    `spread` is the range of the middle half of the rounds, of which `value` is the median.
    """

    name: str
    value: float
    unit: str
    limit: float | None = None
    spread: tuple[float, float] | None = None

    @property
    def is_kept(self) -> bool:
        return self.limit is None or self.value < self.limit

    def row(self) -> str:
        spread = "" if self.spread is None else f"   ({self.spread[0]:.2f}-{self.spread[1]:.2f})"
        goal = "" if self.limit is None else f"   < {self.limit:g} {self.unit}"
        verdict = "" if self.is_kept else "   MISSED"
        return f"{self.name:<52} {self.value:>9.2f} {self.unit:<3}{spread}{goal}{verdict}"


def ratio(
    name: str, dividends: Sequence[float], divisors: Sequence[float], limit: float | None = None
) -> Figure:
    """Compare two series of rounds: each round with its neighbour in the other series."""
    ratios = [above / below for above, below in zip(dividends, divisors, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Figure(name, middle, "x", limit, (low, high))
