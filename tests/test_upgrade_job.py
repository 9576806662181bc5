"""The weekly job of GitHub: its last step, run by a shell, with a program in the place of `gh`."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.engines import REPOSITORY, git

TEMPLATE = REPOSITORY / "template"
WORKFLOW: dict[str, Any] = yaml.safe_load((TEMPLATE / ".github/workflows/upgrade.yml").read_text())
JOB: dict[str, Any] = WORKFLOW["jobs"]["upgrade"]
# It writes down how it is called. A list of pull requests is empty until one is made.
GH = """#!/bin/sh
echo "$*" >>"$(dirname "$0")/calls"
case "$1 $2" in "pr list") grep -q "^pr create" "$(dirname "$0")/calls" && echo 1; exit 0 ;; esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of a remote with one commit."""
    work, remote = tmp_path / "work", tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(tmp_path, "clone", "--quiet", str(remote), str(work))
    (work / "requirements.txt").write_text("one==1.0\n")
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message=first")
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    return work


def run_last_step(checkout: Path) -> list[str]:
    """The calls of `gh` so far."""
    path = f"{checkout.parent}:{os.environ['PATH']}"
    subprocess.run(
        ["bash", "-e", "-c", JOB["steps"][-1]["run"]],
        cwd=checkout,
        env={**os.environ, "PATH": path, "TARGET": "upgrade"},
        check=True,
    )
    calls = checkout.parent / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


def test_its_targets_are_in_the_makefile() -> None:
    makefile = (TEMPLATE / "Makefile").read_text()
    for target in JOB["strategy"]["matrix"]["target"]:
        assert f"\n{target}: " in makefile


def test_changed_and_new_files_become_one_pull_request(checkout: Path) -> None:
    (checkout / "requirements.txt").write_text("one==2.0\n")
    (checkout / "new.txt").write_text("")
    calls = run_last_step(checkout)
    assert [call for call in calls if call.startswith("pr create --head make-upgrade")]
    changed = git(checkout.parent / "remote.git", "show", "--stat", "--format=", "make-upgrade")
    assert "requirements.txt" in changed
    assert "new.txt" in changed


def test_an_open_pull_request_gets_the_newest_change(checkout: Path) -> None:
    first = git(checkout, "rev-parse", "--abbrev-ref", "HEAD").strip()
    for version in ("2.0", "3.0"):
        (checkout / "requirements.txt").write_text(f"one=={version}\n")
        calls = run_last_step(checkout)
        git(checkout, "switch", "--quiet", first)
        git(checkout, "branch", "--quiet", "-D", "make-upgrade")
    assert len([call for call in calls if call.startswith("pr create")]) == 1
    remote = checkout.parent / "remote.git"
    assert git(remote, "show", "make-upgrade:requirements.txt") == "one==3.0\n"


def test_without_a_change_nothing_is_pushed(checkout: Path) -> None:
    assert run_last_step(checkout) == []
    assert git(checkout.parent / "remote.git", "branch") == ""
