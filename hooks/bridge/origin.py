"""Where a project came from, in the words that `copier update` understands."""

import os
import subprocess
from pathlib import Path

# As in Copier: an address that looks otherwise is taken for a directory, unless it says `git+`.
KNOWN_STARTS = (
    *("gh:", "gl:", "git@", "git://", "git+"),
    *("https://github.com/", "https://gitlab.com/"),
)
KNOWN_END = ".git"


def commit(repository: Path) -> str | None:
    """What Copier records: the tag, or how far from it. None for what is not a Git repository."""
    if not (repository / ".git").exists():
        return None
    return git(repository, "describe", "--tags", "--always")


def address(given: str, output_dir: str, repository: Path) -> str:
    """Cookiecutter's argument, absolute when it was a directory: `.` would mean the project itself."""
    if given.startswith(KNOWN_STARTS) or given.lower().endswith((KNOWN_END, ".zip")):
        return given
    if "://" in given:
        return f"git+{given}"
    # Cookiecutter has changed its directory; the shell's is in PWD, and -o defaults to it.
    for directory in (os.environ.get("PWD", ""), output_dir):
        local = Path(directory, Path(given).expanduser())
        if local.is_absolute() and same_template(local, repository):
            return os.path.normpath(local)
    # An abbreviation of Cookiecutter's, or the name of a clone that it keeps.
    return git(repository, "config", "remote.origin.url") or given


def same_template(local: Path, repository: Path) -> bool:
    try:
        here = (local / "copier.yml").read_bytes()
    except OSError:
        return False
    return here == (repository / "copier.yml").read_bytes() and commit(local) == commit(repository)


def git(repository: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=repository,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None
