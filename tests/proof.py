"""The table at the end of a run: the stages that each combination of answers has passed.

Results are sent in the report's `user_properties`, so they arrive from any worker.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pytest

STAGES = ("installed", "linted", "typed", "tested", "built", "ran")
NOTE = (
    "= NAME: not run again, since all that the stage reads is the same, byte for byte, as in NAME"
)

Rows = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Proof:
    """Records the stages of one combination; a stage that `begin` announced and no `show` ended has failed."""

    note: Callable[[str, object], None]

    def begin(self, combination: str, *stages: str) -> None:
        self.show(combination, *stages, how="FAILED")

    def show(self, combination: str, *stages: str, how: str = "yes") -> None:
        for stage in stages:
            self.note("proof", [combination, stage, how])


@pytest.fixture
def proof(record_property: Callable[[str, object], None]) -> Proof:
    return Proof(record_property)


def rows_of(properties: Iterable[tuple[str, object]]) -> Rows:
    """The last word on each stage of each combination."""
    rows: Rows = {}
    for name, value in properties:
        if name == "proof" and isinstance(value, list):
            combination, stage, how = map(str, value)
            rows.setdefault(combination, {})[stage] = how
    return rows


def table(rows: Rows) -> list[str]:
    cells = [["combination", *STAGES]]
    cells += [[name, *(row.get(stage, "-") for stage in STAGES)] for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    properties = [
        noted
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
        for noted in report.user_properties
    ]
    if rows := rows_of(properties):
        terminalreporter.section("answers, and how far each of them went")
        for line in table(dict(sorted(rows.items()))):
            terminalreporter.write_line(line)
        terminalreporter.write_line(NOTE)
