"""Gates: the limits that a run must meet in CI."""

from collections.abc import Sequence
from dataclasses import dataclass

from evals.comparison import Comparison
from evals.scores import Result


@dataclass(frozen=True, slots=True)
class Gates:
    """`min_pass` is a share of the trials (one per case without `--repeat`), `max_worse` a number of cases.

    `None`: no gate. A case of repeated runs is worse only beyond chance: see `Comparison`.
    """

    min_pass: float | None = None
    max_worse: int | None = None

    def missed(self, results: Sequence[Result], comparison: Comparison | None) -> list[str]:
        """A sentence for each limit that the run missed. Without an earlier run, no case counts as worse."""
        missed = []
        rate = pass_rate(results)
        if self.min_pass is not None and rate < self.min_pass:
            missed.append(f"{rate:.1%} passed, wanted at least {self.min_pass:.1%}")
        worse = 0 if comparison is None else len(comparison.worse)
        if self.max_worse is not None and worse > self.max_worse:
            missed.append(f"{worse} worse than before, wanted at most {self.max_worse}")
        return missed


def pass_rate(results: Sequence[Result]) -> float:
    return sum(result.passed for result in results) / len(results)
