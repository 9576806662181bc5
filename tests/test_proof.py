"""The table tells what was shown, and what was not."""

from typing import Literal

import pytest

from tests.proof import STAGES, Rows, rows_of, table


def report(
    outcome: Literal["passed", "failed"], *properties: tuple[str, object]
) -> pytest.TestReport:
    return pytest.TestReport(
        nodeid="test",
        location=("", None, ""),
        keywords={},
        outcome=outcome,
        longrepr=None,
        when="call",
        user_properties=[*properties],
    )


def test_a_failure_is_in_the_first_stage_that_was_not_shown() -> None:
    shown = [("combination", "defaults"), ("proof installed", "on 3.13"), ("proof linted", "yes")]
    rows = rows_of([report("failed", *shown), report("passed")])
    assert rows == {"defaults": {"installed": "on 3.13", "linted": "yes", "typed": "FAILED"}}


def test_what_was_not_shown_is_a_dash() -> None:
    rows: Rows = {"ci=none": {"installed": "= defaults", "linted": "yes"}}
    header, line = table(rows)
    assert header.split() == ["combination", *STAGES]
    assert line.split() == ["ci=none", "=", "defaults", "yes", "-", "-", "-", "-"]
