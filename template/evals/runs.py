"""A run on disk: its conditions on the first line, then one answer per line, written as it is paid for.

A line is one write to the end of the file and on the disk before the next question; a process that is
killed leaves whole lines, a machine that loses power at most a part of the last one, which is dropped.
"""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from app.validation import lines
from evals.answers import Answer
from evals.cases import Case

SUFFIX = ".jsonl"


class UnusableRunError(Exception):
    """A file that is no run, a run made under other conditions, or one that is being written."""


class Conditions(BaseModel):
    """The facts that must not change within a run. `asked_of` is the provider chain with models.

    `batch`: the questions went in the batches of the only provider.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_set: str
    asked_of: tuple[str, ...]
    mock: bool
    batch: bool = False


class Beginning(BaseModel):
    """The first line. `cases` is how many there were when it was written, `repeat` the trials of each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    conditions: Conditions
    cases: int
    repeat: int = 1


class Trial(NamedTuple):
    """One question of a run. A run may ask each case several times; the first time has the number 1."""

    case: Case
    number: int


@dataclass(frozen=True)
class Run:
    """The last answer of each trial counts. The keys of `answers` are a case's id and the trial."""

    path: Path
    beginning: Beginning
    answers: dict[tuple[str, int], Answer] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(SUFFIX)

    def add(self, answer: Answer) -> None:
        _append(self.path, answer)
        self.answers[answer.id, answer.trial] = answer

    def missing(self, cases: Sequence[Case], repeat: int) -> list[Trial]:
        """The trials that were never asked, got no answer, or asked an earlier wording of the case.

        All cases once, then all a second time: a run that ends early has asked as many cases as it could.
        """
        trials = [Trial(case, number) for number in range(1, repeat + 1) for case in cases]
        return [trial for trial in trials if not self._is_answered(trial)]

    @property
    def is_finished(self) -> bool:
        """Whether the run is complete: each trial has an answer or an error."""
        return len(self.answers) >= self.beginning.cases * self.beginning.repeat

    def known(self, cases: Sequence[Case]) -> Mapping[str, Sequence[Answer]]:
        """The answers of each case to this very question, in the order of the trials."""
        asked = {case.id: case.fingerprint for case in cases}
        known: dict[str, list[Answer]] = {case.id: [] for case in cases}
        for _, answer in sorted(self.answers.items()):
            if asked.get(answer.id) == answer.fingerprint:
                known[answer.id].append(answer)
        return known

    def _is_answered(self, trial: Trial) -> bool:
        answer = self.answers.get((trial.case.id, trial.number))
        return answer is not None and answer.paid and answer.fingerprint == trial.case.fingerprint


def read_run(path: Path) -> Run:
    """Raises `UnusableRunError` with file, line and reason."""
    try:
        first, *rest = _whole_lines(path.read_bytes())
    except OSError as error:
        raise UnusableRunError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UnusableRunError(f"{path}: not a run, it has no first line") from None
    number = 1
    try:
        run = Run(path, Beginning.model_validate_json(first))
        for number, line in enumerate(rest, start=2):  # noqa: B007 - the line that is wrong
            answer = Answer.model_validate_json(line)
            run.answers[answer.id, answer.trial] = answer
    except ValidationError as error:
        raise UnusableRunError(f"{path}:{number}: not a line of a run: {lines(error)[0]}") from None
    return run


@contextmanager
def continued(path: Path, beginning: Beginning) -> Iterator[Run]:
    """Open a run to add to it, or create it; a second process cannot open it meanwhile.

    Raises `UnusableRunError` when it was begun under other conditions: its answers could not be compared.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UnusableRunError(f"{path}: another process is writing it") from None
        os.truncate(path, sum(map(len, _whole_lines(path.read_bytes()))))
        if path.stat().st_size == 0:
            _append(path, beginning)
        run = read_run(path)
        then, now = run.beginning.conditions, beginning.conditions
        if then != now:
            raise UnusableRunError(
                f"{path}: begun with {_said(then)}, and not with {_said(now)}; choose another name"
            )
        yield run


def runs_of(directory: Path, data_set: str) -> list[Run]:
    """The runs of one data set, oldest first."""
    paths = sorted(directory.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime_ns)
    runs = (read_run(path) for path in paths if path.stat().st_size)
    return [run for run in runs if run.beginning.conditions.data_set == data_set]


def _append(path: Path, line: BaseModel) -> None:
    with path.open("ab", buffering=0) as file:
        file.write(line.model_dump_json().encode() + b"\n")
        os.fsync(file.fileno())


def _whole_lines(content: bytes) -> list[bytes]:
    return [line for line in content.splitlines(keepends=True) if line.endswith(b"\n")]


def _said(conditions: Conditions) -> str:
    where = (" in batches" if conditions.batch else "") + (" (mock)" if conditions.mock else "")
    return f"{conditions.data_set}, {' then '.join(conditions.asked_of)}{where}"
