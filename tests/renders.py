"""The output of an engine for a template: made once for all tests and workers, which only read it."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pytest

from tests.engines import with_cookiecutter, with_copier
from tests.questions import Answers


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


def spare_copier_two_thirds_of_its_time(patch: pytest.MonkeyPatch) -> None:
    """Of every run in this process; its command, which tests run too, does all of it."""
    compile_each_text_once(patch)
    # A process of Git for each file, to learn whether this is a system without executable files.
    patch.setattr("copier._main.Worker._sync_git_index_executable_bit", lambda *_: None)


def compile_each_text_once(patch: pytest.MonkeyPatch) -> None:
    """Copier lets Jinja compile the path of every file several times in every run."""
    compiled: dict[tuple[object, ...], Any] = {}
    compile_anew = jinja2.Environment.compile

    def compile_or_remember(jinja: jinja2.Environment, *source: Any, **how: Any) -> Any:
        key = (type(jinja), syntax_of(jinja), source, *how.items())
        if key not in compiled:
            compiled[key] = compile_anew(jinja, *source, **how)
        return compiled[key]

    patch.setattr(jinja2.Environment, "compile", compile_or_remember)


def syntax_of(jinja: jinja2.Environment) -> tuple[object, ...]:
    """The input of its compiler; the names of filters are looked up when a template runs."""
    return (
        *(jinja.block_start_string, jinja.block_end_string),
        *(jinja.variable_start_string, jinja.variable_end_string),
        *(jinja.comment_start_string, jinja.comment_end_string),
        *(jinja.trim_blocks, jinja.lstrip_blocks, jinja.keep_trailing_newline),
        *(jinja.undefined, *sorted(jinja.extensions)),
    )
