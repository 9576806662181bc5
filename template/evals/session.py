"""One `make eval`, from the data set to the outcome."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from app.settings import Settings
from app.telemetry.logging import configure
from evals.answers import Interview
from evals.batch import AnswerCase, cancel_batches, together
from evals.cases import Case, read_cases
from evals.evaluation import evaluate
from evals.gates import Gates
from evals.outcome import Outcome, outcome
from evals.runs import SUFFIX, Beginning, Conditions, Run, continued, runs_of
from evals.stack import asked_of, open_stack, uses_mock
from evals.terminal import watched


class UnanswerableError(Exception):
    """The requested evaluation cannot be run."""


@dataclass(frozen=True, slots=True)
class Session:
    """`runs` is the directory of the runs. Without a `name`, a run that was broken off is continued.

    Without `repeat`, a run that is continued keeps its number of trials, and a new one has one of each case.
    Without `against`, the comparison is with the newest run before that was asked of the same kind of
    thing: a mock, or real providers. With `batch` the questions go in a provider's batches.
    """

    data_set: Path
    runs: Path
    name: str | None = None
    against: str | None = None
    concurrency: int = 8
    repeat: int | None = None
    batch: bool = False
    gates: Gates = field(default_factory=Gates)

    def run(self, settings: Settings) -> Outcome:
        cases = read_cases(self.data_set)
        conditions = Conditions(
            data_set=self.data_set.name,
            asked_of=asked_of(settings, batch=self.batch),
            mock=uses_mock(settings),
            batch=self.batch,
        )
        runs = runs_of(self.runs, conditions.data_set)
        name = self.name or self._unfinished(runs, conditions) or self._new_name()
        earlier = [run for run in runs if run.name != name]
        against = self._against(earlier, earlier, conditions)
        begun = next((run.beginning.repeat for run in runs if run.name == name), 1)
        repeat = self.repeat or begun
        beginning = Beginning(conditions=conditions, cases=len(cases), repeat=repeat)
        path = self.runs / f"{name}{SUFFIX}"
        with continued(path, beginning) as run, path.with_suffix(".log").open("ab") as log:
            # The service's log lines would be unreadable between the updates of a progress bar.
            configure(settings.log, stream=log, cache_loggers=False)
            asyncio.run(self._ask(cases, repeat, run, settings))
        return outcome(run, cases, earlier, against, self.gates)

    def saved(self, name: str) -> Outcome:
        """The outcome of an earlier run, judged by the expectations of now; nothing is asked."""
        cases = read_cases(self.data_set)
        runs = runs_of(self.runs, self.data_set.name)
        run = self._named(runs, name)
        earlier = runs[: runs.index(run)]
        against = self._against(runs, earlier, run.beginning.conditions)
        return outcome(run, cases, earlier, against, self.gates)

    def cancel(self, settings: Settings, name: str) -> int:
        """Cancel the batches of a run that was broken off, and return their number."""
        conditions = self._named(runs_of(self.runs, self.data_set.name), name).beginning.conditions
        if conditions.mock or not conditions.batch:
            raise UnanswerableError(f"{name} has no batches at a provider")
        if conditions.asked_of != (now := asked_of(settings, batch=True)):
            raise UnanswerableError(f"{name} was asked of {conditions.asked_of[0]}, not {now[0]}")
        return asyncio.run(cancel_batches(settings, self.runs / f"{name}{SUFFIX}"))

    async def _ask(self, cases: Sequence[Case], repeat: int, run: Run, settings: Settings) -> None:
        total = len(cases) * repeat
        missing = len(run.missing(cases, repeat))
        async with open_stack(settings, batches_of=run.path if self.batch else None) as stack:
            if unknown := {case.kind for case in cases} - stack.ways.keys():
                raise UnanswerableError(
                    f"the service has no feature for: {', '.join(sorted(unknown))}"
                )
            answer: AnswerCase = Interview(stack.model, stack.ways).answer
            concurrency = self.concurrency
            if stack.batched is not None:
                answer, concurrency = together(stack.batched, answer, missing), max(missing, 1)
            with watched(total, total - missing) as progress:
                await evaluate(
                    cases,
                    run,
                    answer,
                    repeat=repeat,
                    concurrency=concurrency,
                    done=progress.advance,
                )

    def _unfinished(self, runs: Sequence[Run], conditions: Conditions) -> str | None:
        last = runs[-1] if runs else None
        if last is None or last.is_finished or last.beginning.conditions != conditions:
            return None
        return last.name if self.repeat in (None, last.beginning.repeat) else None

    def _new_name(self) -> str:
        return f"{self.data_set.stem}-{datetime.now(UTC):%Y%m%d-%H%M%S}"

    def _against(
        self, others: Sequence[Run], earlier: Sequence[Run], conditions: Conditions
    ) -> Run | None:
        if self.against is not None:
            return self._named(others, self.against)
        alike = [run for run in earlier if run.beginning.conditions.mock == conditions.mock]
        return alike[-1] if alike else None

    def _named(self, runs: Sequence[Run], name: str) -> Run:
        for run in runs:
            if run.name == name:
                return run
        raise UnanswerableError(f"{self.runs}: no run {name} of {self.data_set.name}")
