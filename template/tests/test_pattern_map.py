import re
from pathlib import Path

import pytest

MAP = Path(__file__).parent.parent / "docs/patterns.md"
ROWS = re.findall(r"^\| ([A-Z]\d) \|[^|]*\|([^|]*)\|([^|]*)\|$", MAP.read_text(), re.MULTILINE)
# Parts that a project may be without, by its answers or later. Their rows stay in the table.
LEAVES = (".github", ".gitlab-ci.yml", "deploy", "evals", "notebooks", "observability")
each_row = pytest.mark.parametrize(
    ("code", "test"), [(code, test) for _, code, test in ROWS], ids=[row[0] for row in ROWS]
)


@each_row
def test_the_places_of_a_pattern_exist(code: str, test: str) -> None:
    places = re.findall(r"\]\(([^)]+)\)", code + test)
    assert places
    missing = [place for place in places if not (MAP.parent / place).exists()]
    assert [place for place in missing if not left_out(place)] == []


@each_row
def test_the_test_of_a_pattern_exists(code: str, test: str) -> None:
    assert code.strip()
    for place, name in re.findall(r"\]\(([^)]+)\) `(test_\w+)`", test):
        if not left_out(place):
            assert f"def {name}(" in (MAP.parent / place).read_text()


@pytest.mark.parametrize(
    ("place", "left"),
    [
        pytest.param("../nowhere/x.py", False, id="no-leaf"),
        pytest.param("../src/app/gone.py", False, id="a-file-of-the-service"),
        pytest.param("../tests/evals/test_x.py", True, id="test-of-a-leaf"),
        pytest.param("../evals/x.py", True, id="file-of-a-leaf"),
        pytest.param("../src/app/features/gone/x.py", True, id="file-of-a-feature"),
        pytest.param("../tests/features/gone/test_x.py", True, id="test-of-a-feature"),
    ],
)
def test_only_files_of_a_removed_leaf_may_be_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str, *, left: bool
) -> None:
    monkeypatch.setattr("test_pattern_map.MAP", tmp_path / "docs/patterns.md")
    assert left_out(place) is left
    for there in ("evals", "src/app/features/gone", "tests/features/gone"):
        (tmp_path / there).mkdir(parents=True)
    assert not left_out(place)


def left_out(place: str) -> bool:
    """Whether it belongs to a leaf or a feature that this project does not have at all."""
    if feature := re.search(r"(src/app|tests)/features/\w+/", place):
        return not (MAP.parent.parent / feature[0]).is_dir()
    leaf = next(part for part in Path(place).parts if part not in {"..", "tests"})
    return leaf in LEAVES and not (MAP.parent.parent / leaf).exists()


def test_no_pattern_is_listed_twice() -> None:
    names = [row[0] for row in ROWS]
    assert len(names) > 20
    assert len(set(names)) == len(names)
