"""The output of an engine for a template: made once for all tests and workers, which only read it."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines import with_cookiecutter, with_copier
from tests.questions import Answers
from tools.shortcuts import shortcuts


def once(directory: Path, name: str, make: Callable[[Path], object]) -> Path:
    """`directory/name`, made by the first worker that asks for it; the others wait."""
    made, done = directory / name, directory / "done"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(made, ignore_errors=True)  # left by a failed attempt
            make(made)
            done.touch()
    return made


@dataclass(frozen=True)
class Renders:
    """A test that changes what it gets makes its own, with `tests.engines`."""

    store: Path

    def by_copier(self, template: Path, answers: Answers) -> Path:
        directory = self.directory("copier", template, answers)
        return once(directory, "made", lambda made: with_copier(template, made, answers))

    def by_cookiecutter(self, template: Path, answers: Answers) -> Path:
        directory = self.directory("cookiecutter", template, answers)
        made = once(directory, "made", lambda made: with_cookiecutter(template, made, answers))
        (project,) = made.iterdir()
        return project

    def directory(self, engine: str, template: Path, answers: Answers) -> Path:
        key = json.dumps([engine, str(template), answers], sort_keys=True)
        return self.store / hashlib.sha256(key.encode()).hexdigest()[:16]


def shared_by_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each worker of xdist has its own directory in this one."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if own.name.startswith("popen-") else own


def spare_copier_most_of_its_time(patch: pytest.MonkeyPatch) -> None:
    """Of every run in this process, as `make new` does; Copier's own command, which tests run too, does all of it."""
    for owner, name, replacement in shortcuts():
        patch.setattr(owner, name, replacement)
