"""`make test` here: tests that fail beside others run once more, alone."""

import subprocess
from pathlib import Path

import pytest

from tests.engines import REPOSITORY
from tools.once_more import AT_MOST, failed_in, main

PYTEST = [str(REPOSITORY / ".venv/bin/python"), "-m", "pytest"]
BY_CHANCE = """
from pathlib import Path

def test_of_a_busy_machine():
    before = Path(__file__).with_name("before")
    assert before.exists() or before.touch()
"""
BROKEN = """
import pytest

@pytest.mark.parametrize("number", range({count}))
def test_that_is_broken(number):
    with open("{log}", "a") as log:
        log.write("run ")
    raise AssertionError
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / ".venv").symlink_to(REPOSITORY / ".venv")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: none of these\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def broken(project: Path, count: int) -> None:
    source = BROKEN.format(count=count, log=project / "log")
    (project / "test_broken.py").write_text(source)


def runs(project: Path) -> int:
    return (project / "log").read_text().count("run")


def test_a_test_that_passes_alone_is_named_and_the_run_is_green(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "test_chance.py").write_text(BY_CHANCE)
    assert main(project, PYTEST) == 0
    said = capfd.readouterr().out
    assert said.count("test_chance.py::test_of_a_busy_machine") >= 2
    assert "Passed alone" in said


def test_a_test_that_fails_alone_too_is_red(project: Path) -> None:
    broken(project, 1)
    (project / "test_chance.py").write_text(BY_CHANCE)
    assert main(project, PYTEST) == 1
    assert runs(project) == 2


def test_many_failures_are_red_without_a_second_run(project: Path) -> None:
    broken(project, AT_MOST + 1)
    assert main(project, PYTEST) == 1
    assert runs(project) == AT_MOST + 1


def test_failures_of_an_earlier_run_do_not_excuse_a_command_that_fails(project: Path) -> None:
    (project / "test_chance.py").write_text(BY_CHANCE)
    subprocess.run(PYTEST, check=False)
    assert failed_in(project)
    assert main(project, ["false"]) == 1
