"""Compare a run with an earlier one: cases that got better or worse, and whether it may be chance."""

from collections.abc import Sequence
from dataclasses import dataclass

from evals.chance import LEVEL, Counts, Interval, beyond_chance, difference_interval, p_value
from evals.reliability import Tally, tallies
from evals.scores import Result


@dataclass(frozen=True, slots=True)
class Comparison:
    """`common` are the cases that both runs have answers for; the others cannot be compared.

    `better` and `worse` are differences beyond chance; `unsure` are cases with a difference that
    chance can explain. `repeated` is whether any case has more than one trial in a run. Without
    that, chance cannot be told for a single case, and each case that changed is better or worse.
    """

    against: str
    common: int
    better: tuple[Tally, ...]
    worse: tuple[Tally, ...]
    unsure: tuple[Tally, ...]
    before: dict[str, Tally]
    difference: float
    interval: Interval
    p_value: float
    repeated: bool

    @property
    def is_beyond_chance(self) -> bool:
        """Of the difference of all common cases together."""
        return self.p_value <= LEVEL


def compare(now: Sequence[Result], before: Sequence[Result], *, against: str) -> Comparison:
    """Both are judged by the same expectations, those of now.

    `difference` is that of the mean pass rates: 0.1 means that ten more of a hundred trials pass.
    """
    earlier = {tally.case.id: tally for tally in tallies(before)}
    common = [tally for tally in tallies(now) if tally.case.id in earlier]
    counts = [_counts(earlier[tally.case.id], tally) for tally in common]
    changes = [tally.rate - earlier[tally.case.id].rate for tally in common]
    repeated = any(max(one.trials_before, one.trials_now) > 1 for one in counts)
    sure = beyond_chance(counts) if repeated else [True] * len(common)
    judged = [*zip(common, changes, sure, strict=True)]
    return Comparison(
        against=against,
        common=len(common),
        better=tuple(tally for tally, change, certain in judged if certain and change > 0),
        worse=tuple(tally for tally, change, certain in judged if certain and change < 0),
        unsure=tuple(tally for tally, change, certain in judged if not certain and change),
        before=earlier,
        difference=sum(changes) / len(changes) if changes else 0.0,
        interval=difference_interval(changes),
        p_value=p_value(counts),
        repeated=repeated,
    )


def _counts(before: Tally, now: Tally) -> Counts:
    return Counts(before.passes, before.trials, now.passes, now.trials)
