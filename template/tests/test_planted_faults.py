"""The planted faults fit the code of today; `make faults` plants them."""

import ast
from pathlib import Path

import pytest

from scripts import faults
from scripts.faults import PROJECT, Fault, load, play

FAULTS = load()
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
WRITTEN = "def limit(x):\n    return min(x, 10)\n"
TEST = "from limit import limit\n\n\ndef test_limit():\n    assert limit(20) == 10\n"


@each_fault
def test_a_fault_changes_one_place_of_the_code_and_leaves_it_valid(fault: Fault) -> None:
    planted = fault.planted(PROJECT)
    assert planted != (PROJECT / fault.file).read_text()
    ast.parse(planted)


def test_the_tests_of_all_faults_exist() -> None:
    tests = {test for fault in FAULTS for test in fault.tests}
    assert all(fault.tests for fault in FAULTS)
    assert [test for test in tests if not _exists(test)] == []


def _exists(test: str) -> bool:
    path, _, name = test.partition("::")
    found = PROJECT / path
    return found.exists() and (not name or f"def {name}(" in found.read_text())


def test_names_are_unique() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_every_guard_has_a_fault() -> None:
    guards = (PROJECT / "src/app/llm/guards").glob("*.py")
    broken = {fault.file for fault in FAULTS}
    names = [path.relative_to(PROJECT).as_posix() for path in guards if path.stem[0] != "_"]
    assert [name for name in names if name not in broken] == []


def test_faults_are_selected_by_file_and_by_name() -> None:
    assert all(fault.is_meant_by([]) for fault in FAULTS)
    assert {fault.area for fault in FAULTS if fault.is_meant_by(["edge"])} >= {"edge"}
    assert [fault.name for fault in FAULTS if fault.is_meant_by(["tenants share"])] == [
        "key: tenants share answers"
    ]


def test_text_that_is_not_there_once_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\nx = 1\n")
    with pytest.raises(ValueError, match="twice: its text is 2 times"):
        Fault("area", "twice", "a.py", "x = 1", "x = 2", ()).planted(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_only_a_fault_that_fails_a_test_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = project_with_a_limit(tmp_path / "project")
    noticed = Fault("a", "no limit", "limit.py", "min(x, 10)", "x", ("test_limit.py",))
    missed = Fault("a", "another name", "limit.py", "min(x, 10)", "min(10, x)", ("test_limit.py",))
    invalid = Fault("a", "no code", "limit.py", "min(x, 10)", "min(", ("test_limit.py",))
    unnoticed = play([noticed, missed, invalid], tmp_path / "copies", project)
    assert [reason.partition("\n")[0] for reason in unnoticed] == [
        "another name: all its tests pass",
        "no code: its tests do not run",
    ]
    assert "no limit" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_tests_that_fail_without_a_fault_notice_nothing(tmp_path: Path) -> None:
    project = project_with_a_limit(tmp_path / "project")
    (project / "limit.py").write_text(WRITTEN.replace("10", "11"))
    fault = Fault("a", "no limit", "limit.py", "min(x, 11)", "x", ("test_limit.py",))
    with pytest.raises(SystemExit, match="fail without a fault"):
        play([fault], tmp_path / "copies", project)


def test_a_name_that_no_fault_has_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        faults.main(["no such fault"])
    assert "no such fault" in capsys.readouterr().err


def project_with_a_limit(path: Path) -> Path:
    path.mkdir()
    (path / "limit.py").write_text(WRITTEN)
    (path / "test_limit.py").write_text(TEST)
    (path / "pytest.ini").write_text("[pytest]\npythonpath = .\nmarkers = slow\n")
    return path
