import re
from pathlib import Path

import pytest

MAP = Path(__file__).parent.parent / "docs/patterns.md"
ROWS = re.findall(r"^\| ([A-Z]\d) \|[^|]*\|([^|]*)\|([^|]*)\|$", MAP.read_text(), re.MULTILINE)
each_row = pytest.mark.parametrize(
    ("code", "test"), [(code, test) for _, code, test in ROWS], ids=[row[0] for row in ROWS]
)


@each_row
def test_the_places_of_a_pattern_exist(code: str, test: str) -> None:
    places = re.findall(r"\]\(([^)]+)\)", code + test)
    assert places
    assert [place for place in places if not (MAP.parent / place).exists()] == []


@each_row
def test_the_test_of_a_pattern_exists(code: str, test: str) -> None:
    assert code.strip()
    for place, name in re.findall(r"\]\(([^)]+)\) `(test_\w+)`", test):
        assert f"def {name}(" in (MAP.parent / place).read_text()


def test_no_pattern_stands_there_twice() -> None:
    names = [row[0] for row in ROWS]
    assert len(names) > 20
    assert len(set(names)) == len(names)
