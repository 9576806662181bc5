"""`docs/security.md` names tests that exist, for each risk of the list."""

import re
from pathlib import Path

import pytest

TABLE = Path(__file__).parent.parent / "docs/security.md"
ROWS = re.findall(r"^\| (LLM\d\d) \|(.*)\|$", TABLE.read_text(), re.MULTILINE)


def test_every_risk_has_a_row() -> None:
    assert [risk for risk, _ in ROWS] == [f"LLM{number:02}" for number in range(1, 11)]


@pytest.mark.parametrize(("risk", "row"), ROWS, ids=[risk for risk, _ in ROWS])
def test_a_risk_has_a_measure_a_test_and_a_rest(risk: str, row: str) -> None:
    _name, measure, tests, left = (cell.strip() for cell in row.split(" | "))
    assert measure
    assert left, risk
    places = re.findall(r"\]\(([^)]+)\)(?: `(test_\w+)`)?", tests)
    assert places
    for place, name in places:
        path = TABLE.parent / place
        if "/features/" in place and not path.parent.exists():
            continue  # the project has removed this feature
        assert f"def {name or 'test_'}" in path.read_text()
