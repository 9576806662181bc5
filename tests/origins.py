"""Clones of the template, and services made from them, for tests."""

from pathlib import Path

import yaml
from copier import run_copy

from tests.engines import clone_of, git
from tests.test_update import publish
from tools.make_new import check, record


def answers_of(service: Path) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load((service / ".copier-answers.yml").read_text())
    return found


def by_make_new(clone: Path, tmp_path: Path) -> Path:
    """Its three steps, in this process; tests/test_make_new.py runs the Makefile."""
    made = tmp_path / "by make new"
    assert check(clone, []) == 0
    run_copy(str(clone), made, defaults=True, quiet=True, vcs_ref="HEAD")
    record(clone, made / ".copier-answers.yml")
    return made


def next_version(remote: Path, tmp_path: Path) -> None:
    release_from = clone_of(str(remote), tmp_path / "release from")
    publish(release_from)
    git(release_from, "push", "--quiet", "origin", "HEAD", "v0.2.0")


def no_remote(clone: Path) -> None:
    git(clone, "remote", "remove", "origin")


def unpushed(clone: Path) -> None:
    git(clone, "commit", "--quiet", "--allow-empty", "--message=mine")
