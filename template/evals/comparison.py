"""Compare a run with an earlier one: cases that got better or worse, with confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evals.scores import Result

_RESAMPLES = 10_000
_SEED = 20_240_229
_MIDDLE = (2.5, 97.5)  # percentiles: between them lie 95%


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """`common` are the cases that both runs have answers for; the others cannot be compared."""

    against: str
    common: int
    better: tuple[Result, ...]
    worse: tuple[Result, ...]
    before: dict[str, Result]
    interval: Interval

    @property
    def difference(self) -> float:
        """Of the shares of cases that pass: 0.1 means ten more of a hundred."""
        return (len(self.better) - len(self.worse)) / self.common if self.common else 0.0


def compare(now: Sequence[Result], before: Sequence[Result], *, against: str) -> Comparison:
    """Both are judged by the same expectations, those of now."""
    earlier = {result.case.id: result for result in before}
    common = [result for result in now if result.case.id in earlier]
    better = tuple(each for each in common if each.passed and not earlier[each.case.id].passed)
    worse = tuple(each for each in common if earlier[each.case.id].passed and not each.passed)
    interval = difference_interval(len(better), len(worse), len(common))
    return Comparison(against, len(common), better, worse, earlier, interval)


def difference_interval(better: int, worse: int, cases: int) -> Interval:
    """The 95% interval of the difference of two pass rates, in pairs: a percentile bootstrap.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. A case is better,
    worse or as before, so drawing `cases` of them again is one draw of three counts, for any number.
    Seeded: the same counts have the same interval. With no change at all it has no width,
    which says nothing about cases that were not asked.
    """
    if cases == 0:
        return Interval(0.0, 0.0)
    shares = np.array([better, worse, cases - better - worse]) / cases
    drawn = np.random.default_rng(_SEED).multinomial(cases, shares, size=_RESAMPLES)
    low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / cases, _MIDDLE)
    return Interval(float(low), float(high))
