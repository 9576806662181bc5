"""Everything that there is to say about a run once it has ended."""

from collections.abc import Sequence
from dataclasses import dataclass

from evals.cases import Case
from evals.comparison import Comparison, compare
from evals.evaluation import results
from evals.gates import Gates, pass_rate
from evals.reliability import Tally, tallies
from evals.runs import Run
from evals.scores import Result

_HISTORY = 12


@dataclass(frozen=True, slots=True)
class Outcome:
    """`history` has the pass rates of the runs so far, this one last, judged by today's expectations.

    `missed` are the gates that were not kept.
    """

    run: Run
    results: Sequence[Result]
    comparison: Comparison | None
    history: Sequence[tuple[str, float]]
    missed: Sequence[str]

    @property
    def pass_rate(self) -> float:
        return pass_rate(self.results)

    @property
    def tallies(self) -> list[Tally]:
        return tallies(self.results)

    @property
    def failures(self) -> list[Tally]:
        """The cases that passed in no trial."""
        return [tally for tally in self.tallies if not tally.passes]

    @property
    def flaky(self) -> list[Tally]:
        return [tally for tally in self.tallies if tally.is_flaky]

    @property
    def is_empty(self) -> bool:
        """Whether no question was answered, so that the run says nothing about answers."""
        return not any(result.answer.paid for result in self.results)


def outcome(
    run: Run, cases: Sequence[Case], earlier: Sequence[Run], against: Run | None, gates: Gates
) -> Outcome:
    now = results(cases, run)
    comparison = None
    if against is not None:
        comparison = compare(now, results(cases, against), against=against.name)
    rates = [(one.name, pass_rate(judged)) for one in earlier if (judged := results(cases, one))]
    history = [*rates, (run.name, pass_rate(now))][-_HISTORY:]
    return Outcome(run, now, comparison, history, gates.missed(now, comparison))
