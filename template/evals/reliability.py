"""How often a case passes when it is asked several times: pass^k, and flaky cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

from evals.cases import Case
from evals.scores import Result


@dataclass(frozen=True, slots=True)
class Tally:
    """A case with the results of its trials; at least one."""

    case: Case
    results: Sequence[Result]

    @property
    def trials(self) -> int:
        return len(self.results)

    @property
    def passes(self) -> int:
        return sum(result.passed for result in self.results)

    @property
    def rate(self) -> float:
        return self.passes / self.trials

    @property
    def is_flaky(self) -> bool:
        """Whether some trials passed and others did not."""
        return 0 < self.passes < self.trials

    @property
    def telling(self) -> Result:
        """The first trial that failed; without one, the first trial."""
        return next((one for one in self.results if not one.passed), self.results[0])


def tallies(results: Sequence[Result]) -> list[Tally]:
    """One per case, in the order of the cases."""
    grouped: dict[str, list[Result]] = {}
    for result in results:
        grouped.setdefault(result.case.id, []).append(result)
    return [Tally(group[0].case, group) for group in grouped.values()]


def common_trials(counted: Sequence[Tally]) -> int:
    """The number of trials that every case has: the largest k of pass^k."""
    return min((tally.trials for tally in counted), default=0)


def pass_hat(counted: Sequence[Tally], k: int) -> float:
    """pass^k: the share of cases that pass k trials out of k, estimated from all their trials.

    Yao et al., τ-bench (2024), section 3: the mean over the cases of C(passes, k) / C(trials, k). pass^1
    is the mean pass rate of a trial. Not to be confused with pass@k (Chen et al., 2021), for which
    one success out of k is enough.
    """
    return sum(comb(one.passes, k) / comb(one.trials, k) for one in counted) / len(counted)
