"""The releases of this template: its tags, and before there are any, states of its own history."""

import subprocess
from pathlib import Path

import pytest

from tests.engines import REPOSITORY, copy_working_tree, git, release

# Real older states, found by the titles of their commits. Each was green when it was committed.
STATES = {
    "v0.0.1": "A question with one choice is left out of the test, not skipped in it",
    "v0.0.2": "Merge embeddings, batches and stale answers",
    "v0.0.3": "Merge the proofs of the wire",
}
HEAD = "v999"


def published(destination: Path) -> Path:
    """A clone with a tag for each release; the newest tag is the working tree."""
    subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(destination)], check=True)
    for tag, title in STATES.items():
        git(destination, "tag", tag, commit_titled(title, destination))
    git(destination, "rm", "-r", "--quiet", ".")
    copy_working_tree(destination)
    release(destination, HEAD)
    return destination


def commit_titled(title: str, repository: Path) -> str:
    found = git(
        repository, "log", "--format=%H", "--max-count=1", "--fixed-strings", f"--grep={title}"
    )
    if not found:
        pytest.skip(f"no commit {title!r}: this clone is shallow, or its history another")
    return found.strip()


def released(repository: Path) -> list[str]:
    """Every tag but the head's, oldest first."""
    tags = git(repository, "tag", "--list", "v*", "--sort=version:refname").split()
    return [tag for tag in tags if tag != HEAD]
