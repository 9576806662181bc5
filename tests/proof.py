"""The table at the end of a run: which combination of answers went which part of the way.

What a test has shown travels in the report's `user_properties`, so it arrives from any worker.
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
    """Notes what a combination has shown. `begin` comes first, so that a failure has its row."""

    write: Callable[[str, object], None]

    def begin(self, combination: str) -> None:
        self.write("combination", combination)

    def show(self, *stages: str, how: str = "yes") -> None:
        for stage in stages:
            self.write(f"proof {stage}", how)


@pytest.fixture
def proof(record_property: Callable[[str, object], None]) -> Proof:
    return Proof(record_property)


def rows_of(reports: Iterable[pytest.TestReport]) -> Rows:
    rows: Rows = {}
    for report in reports:
        found = {name: str(value) for name, value in report.user_properties}
        if "combination" in found:
            row = rows.setdefault(found["combination"], {})
            row |= {stage: found[key] for stage in STAGES if (key := f"proof {stage}") in found}
            if report.failed:
                row[next((stage for stage in STAGES if stage not in row), "ran")] = "FAILED"
    return rows


def table(rows: Rows) -> list[str]:
    cells = [["combination", *STAGES]]
    cells += [[name, *(row.get(stage, "-") for stage in STAGES)] for name, row in rows.items()]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in cells]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        if report.when == "call"
    ]
    if rows := rows_of(reports):
        terminalreporter.section("answers, and how far each of them went")
        for line in table(dict(sorted(rows.items()))):
            terminalreporter.write_line(line)
        terminalreporter.write_line(NOTE)
