"""Applies Copier's `_exclude` for Cookiecutter: matching files are removed before rendering."""

import shutil
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from bridge.config import copier_jinja, read_config


def remove_excluded(root: Path, directory: Path, answers: dict[str, str]) -> None:
    patterns = list(patterns_for(root, answers))
    for path in sorted(directory.rglob("*")):
        if path.exists() and excluded(path.relative_to(directory), patterns):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def patterns_for(root: Path, answers: dict[str, str]) -> Iterator[str]:
    jinja = copier_jinja(root)
    for pattern in read_config(root)["_exclude"]:
        yield jinja.from_string(pattern).render(answers, _copier_operation="copy")


def excluded(path: Path, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches: with a leading slash at the root, otherwise at any depth."""
    return any(
        fnmatchcase(f"/{path.as_posix()}" if pattern.startswith("/") else path.name, pattern)
        for pattern in patterns
    )
