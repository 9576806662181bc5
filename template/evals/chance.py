"""Is a difference between two runs more than chance? Exact tests, and a bootstrap interval."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.05  # a difference with a smaller p-value is beyond chance
_RESAMPLES = 10_000
_SEED = 20_240_229
_MIDDLE = (2.5, 97.5)  # percentiles: between them lie 95%
# Equally likely outcomes differ by rounding; R's fisher.test and SciPy allow the same.
_ROUNDING = 1 + 1e-7

Chances = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Counts:
    """How often one case was asked, and how often it passed, in an earlier run and now."""

    passes_before: int
    trials_before: int
    passes_now: int
    trials_now: int

    @property
    def _lowest(self) -> int:
        return max(0, self.passes_before + self.passes_now - self.trials_before)

    @property
    def observed(self) -> int:
        """The place of `passes_now` in `chances`."""
        return self.passes_now - self._lowest

    def chances(self) -> Chances:
        """Of each possible `passes_now`, if the passed trials fell on the two runs by chance.

        The hypergeometric distribution, which Fisher's exact test uses.
        """
        passes = self.passes_before + self.passes_now
        trials = self.trials_before + self.trials_now
        possible = range(self._lowest, min(passes, self.trials_now) + 1)
        ways = comb(trials, passes)
        return np.array(
            [
                comb(self.trials_now, now) * comb(self.trials_before, passes - now) / ways
                for now in possible
            ]
        )


def p_value(cases: Sequence[Counts]) -> float:
    """The chance of a total this unusual, or more, if no case changed: two-sided, and exact.

    Trials of one case are compared with each other only, and the cases are added up: the exact
    conditional test of stratified 2x2 tables (Agresti, Categorical Data Analysis, 3rd ed. (2013), section 7.3.5).
    With one case it is Fisher's exact test; with one trial of each case in each run, McNemar's.
    It speaks about these cases: the interval speaks about others like them.
    """
    observed, chances = 0, np.ones(1)
    for case in cases:
        observed += case.observed
        chances = np.convolve(chances, case.chances())
    return _as_unlikely(chances, chances[observed])


def beyond_chance(cases: Sequence[Counts]) -> list[bool]:
    """For each case, whether its own difference is; with 5% or less for any false one among them all.

    Fisher's exact test with Tarone's correction for many tests (Biometrics 46 (1990), pages 515-522): Bonferroni's,
    except that a case with trials that could not show a difference costs nothing.
    """
    least = np.array([_as_unlikely(case.chances(), case.chances().min()) for case in cases])
    tests = next(k for k in range(1, len(cases) + 2) if (least <= LEVEL / k).sum() <= k)
    return [p_value([case]) <= LEVEL / tests for case in cases]


def difference_interval(differences: Sequence[float]) -> Interval:
    """The 95% interval of the mean difference of the cases' pass rates: a percentile bootstrap of pairs.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; cases are drawn, not
    trials, because trials of one case resemble each other (Miller, Adding Error Bars to Evals (2024)).
    A draw of all cases is one draw of how often each value occurs, for any number of cases. Seeded: the
    same differences have the same interval. With no change at all it has no width, which says nothing
    about cases that were not asked.
    """
    if not differences:
        return Interval(0.0, 0.0)
    values, counts = np.unique(differences, return_counts=True)
    cases = len(differences)
    drawn = np.random.default_rng(_SEED).multinomial(cases, counts / cases, size=_RESAMPLES)
    low, high = np.percentile(drawn @ values / cases, _MIDDLE)
    return Interval(float(low), float(high))


def _as_unlikely(chances: Chances, chance: float) -> float:
    """The chance of all outcomes that are as unlikely as this one, or more."""
    return min(1.0, float(chances[chances <= chance * _ROUNDING].sum()))
