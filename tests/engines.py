"""The two engines, and their output."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cookiecutter.main import cookiecutter
from copier import run_copy

REPOSITORY = Path(__file__).parent.parent
Tree = dict[str, tuple[int, bytes]]


def clone_of(remote: str, directory: Path) -> Path:
    run("git", "clone", "--quiet", remote, str(directory))
    return directory


def clone_of_this_checkout(destination: Path) -> Path:
    """The files that Git would commit of the working tree, committed and tagged v0.1.0."""
    copy_working_tree(destination)
    git(destination, "init", "--quiet", "--template=")  # no sample hooks: it is copied often
    release(destination, "v0.1.0")
    git(destination, "gc", "--quiet")
    return destination


def copy_working_tree(destination: Path) -> None:
    """The files that Git would commit of this checkout."""
    listed = git(REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (REPOSITORY / name).is_file():  # not one that is deleted, but not yet committed so
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, destination / name)


def release(repository: Path, tag: str) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", f"--message={tag}")
    git(repository, "tag", tag)


def git(repository: Path, *arguments: str) -> str:
    return run("git", "-C", str(repository), *arguments)


def with_copier(template: Path, destination: Path, answers: Mapping[str, str]) -> Path:
    run_copy(str(template), destination, data=dict(answers), defaults=True, quiet=True)
    return destination


def with_cookiecutter(template: Path, output_dir: Path, answers: Mapping[str, str]) -> Path:
    made = cookiecutter(
        str(template), no_input=True, extra_context=dict(answers), output_dir=str(output_dir)
    )
    return Path(made)


def run(*command: str, cwd: Path | None = None, check: bool = True) -> str:
    """The output of the command, of both streams. Without `check`, only a failure is accepted."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(cwd),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode == 0) is check, f"{command}: {done.returncode}\n{done.stdout}"
    return done.stdout


def environment(cwd: Path | None) -> dict[str, str]:
    """A shell's: PWD is where it stands, and make does not know of a make above it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return {**inherited, "PWD": str(cwd or Path.cwd())}


def tool(name: str) -> str:
    """A command of the environment that runs the tests."""
    return str(Path(sys.executable).with_name(name))


def tree(directory: Path) -> Tree:
    """Every file and directory with its mode, every file with its bytes; nothing of Git's."""
    return {
        str(path.relative_to(directory)): entry(path)
        for path in sorted(directory.rglob("*"))
        if ".git" not in path.relative_to(directory).parts
    }


def entry(path: Path) -> tuple[int, bytes]:
    return path.stat().st_mode, path.read_bytes() if path.is_file() else b""


def digest(files: Tree) -> str:
    """A hash of names, modes and bytes."""
    found = hashlib.sha256()
    for name, (mode, content) in sorted(files.items()):
        found.update(f"{name} {mode} {len(content)} ".encode() + content)
    return found.hexdigest()


def differences(one: Tree, other: Tree) -> list[str]:
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
