"""The progress of a run, and its outcome as text."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from evals.answers import Answer
from evals.outcome import Outcome
from evals.reliability import Tally, common_trials
from evals.tables import SCORES, by_tag, by_trial
from evals.words import cell, heading, mistake, reliability, sentence

_SHOWN = 10
_WIDE = 120
_UNBOUNDED = 1000


class Watched:
    """Shows the number of answers and their cost so far beside the progress bar."""

    def __init__(self, progress: Progress, *, total: int, known: int) -> None:
        self._progress = progress
        self._task = progress.add_task("asking", total=total, completed=known, cost="")
        self._cost_usd = 0.0

    def advance(self, answer: Answer) -> None:
        self._cost_usd += answer.cost_usd or 0.0
        self._progress.update(self._task, advance=1, cost=f"${self._cost_usd:.4f}")


@contextmanager
def watched(total: int, known: int) -> Iterator[Watched]:
    """A bar on standard error, so that standard output is the table alone."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[cost]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Watched(progress, total=total, known=known)


def standard_output() -> Console:
    """As wide as the terminal; a file or a log of CI has room for the whole table."""
    return Console(width=None if sys.stdout.isatty() else _WIDE)


def show(outcome: Outcome, console: Console) -> None:
    _show_table(console, by_tag(by_trial(outcome.results)))
    if common_trials(outcome.tallies) > 1:
        console.print(reliability(outcome.tallies), highlight=False)
    _show_cases(console, "[red]failed[/]", outcome.failures)
    _show_cases(console, "[yellow]flaky[/]", outcome.flaky)
    if outcome.comparison is not None:
        console.print(sentence(outcome.comparison), highlight=False)
        _show_ids(console, "better", outcome.comparison.better)
        _show_ids(console, "worse", outcome.comparison.worse)
        _show_ids(console, "within chance", outcome.comparison.unsure)
    for gate in outcome.missed:
        console.print(f"[bold red]gate missed[/] {escape(gate)}", highlight=False)


def _show_table(console: Console, rows: pd.DataFrame) -> None:
    """In a narrow terminal without the scores: the half of a number says something else."""
    table = _table(rows)
    unbounded = console.options.update(width=_UNBOUNDED)
    if Measurement.get(console, unbounded, table).maximum <= console.width:
        console.print(table)
    else:
        console.print(_table(rows.drop(columns=[*SCORES], errors="ignore")))
        console.print("A wider terminal shows the scores, too; the report has them.")


def _table(rows: pd.DataFrame) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("tag", no_wrap=True)
    for column in rows.columns:
        table.add_column(heading(str(column)), justify="right")
    for tag, row in rows.iterrows():
        table.add_row(str(tag), *(cell(str(name), value) for name, value in row.items()))
    return table


def _show_cases(console: Console, word: str, counted: Sequence[Tally]) -> None:
    for tally in counted[:_SHOWN]:
        console.print(f"{word} {escape(tally.case.id)}: {escape(mistake(tally))}")
    if (rest := len(counted) - _SHOWN) > 0:
        console.print(f"… and {rest} more in the report")


def _show_ids(console: Console, word: str, counted: Sequence[Tally]) -> None:
    if counted:
        ids = ", ".join(tally.case.id for tally in counted)
        console.print(f"  {word}: {escape(ids)}", highlight=False)
