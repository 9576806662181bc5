"""Finds the address and the commit of the template, in the form that `copier update` reads."""

import os
from dataclasses import dataclass
from pathlib import Path

from bridge.git import git, is_clone
from bridge.remote import (
    NotPublishedError,
    in_copiers_words,
    published,
    without_credentials,
)


@dataclass(frozen=True)
class Origin:
    address: str
    commit: str | None
    directory: Path | None = None  # the local directory given to Cookiecutter, if any


def commit(repository: Path) -> str | None:
    """The version as Copier records it: the tag, or the distance to it. None outside of a clone."""
    return git(repository, "describe", "--tags", "--always") if is_clone(repository) else None


def find(given: str, output_dir: str, repository: Path) -> Origin:
    """Find them from Cookiecutter's argument and its copy of the template."""
    if directory := directory_in(given, output_dir, repository):
        return of_directory(directory)
    if not is_address(given):
        # An abbreviation of Cookiecutter's, or the name of one of the clones that it keeps.
        given = git(repository, "config", "remote.origin.url") or given
    return Origin(cleaned(given), commit(repository))


def of_directory(directory: Path) -> Origin:
    """The remote's address if it has the commit; otherwise the directory, as with Copier."""
    try:
        found = published(directory)
    except NotPublishedError:
        return Origin(str(directory), commit(directory), directory)
    return Origin(found.address, found.commit, directory)


def is_address(given: str) -> bool:
    return "://" in given or given.endswith(".zip") or in_copiers_words(given) == given


def cleaned(address: str) -> str:
    url = address.removeprefix("git+")
    if "://" not in url:
        return address
    safe = without_credentials(url) or url
    return safe if safe.endswith(".zip") else in_copiers_words(safe)


def directory_in(given: str, output_dir: str, repository: Path) -> Path | None:
    """The given directory as an absolute path, because `.` would mean the new project."""
    if "://" in given:
        return None
    # Cookiecutter has changed its directory. PWD still has the shell's, and `-o` defaults to it.
    for directory in (os.environ.get("PWD", ""), output_dir):
        local = Path(directory, Path(given).expanduser())
        if local.is_absolute() and same_template(local, repository):
            return Path(os.path.normpath(local))
    return None


def same_template(local: Path, repository: Path) -> bool:
    try:
        here = (local / "copier.yml").read_bytes()
    except OSError:
        return False
    return here == (repository / "copier.yml").read_bytes() and commit(local) == commit(repository)
