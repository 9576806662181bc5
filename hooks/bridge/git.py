"""Runs Git in one repository."""

import os
import subprocess
from pathlib import Path

# Set when a hook of another repository runs this program; they would override the directory.
FOREIGN = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"}


def git(repository: Path, *arguments: str) -> str | None:
    """The output without surrounding space; None if Git fails or prints nothing."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=repository,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip() or None


def is_clone(repository: Path) -> bool:
    """Whether the directory is a clone itself, and not a directory inside another repository."""
    return (repository / ".git").exists() and git(repository, "rev-parse", "HEAD") is not None
