"""Builds the directory that Cookiecutter renders, from `template/`.

The repository is Cookiecutter's temporary copy, so files without template syntax are moved: a second copy of
them would take two thirds of this hook's time, and Cookiecutter would have to delete it too.
"""

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bridge.delimiters import END, JINJA_SETTINGS, START, translate

SUFFIX = ".jinja"
ANSWERS_TEMPLATE = "template/{{_copier_conf.answers_file}}.jinja"
# Cookiecutter creates this directory before a hook can refuse the slug. So only a harmless slug is
# used as its name; pre_gen_project refuses the others, and Cookiecutter removes the directory.
DIRECTORY = (
    f"{START}cookiecutter.project_slug"
    " if cookiecutter.project_slug.replace('-', '').isalnum()"
    " and cookiecutter.project_slug.isascii()"
    " and cookiecutter.project_slug.__len__() in range(1, 51)"
    f" else '.refused-project-slug'{END}"
)


def lay_out(root: Path) -> None:
    """Write the directory, and add the delimiters and the reserved names to cookiecutter.json."""
    questions = json.loads((root / "cookiecutter.json").read_text(encoding="utf-8"))
    prefix = declare(name for name in questions if not name.startswith("_"))
    for path in shipped(root / "template"):
        add(root, path, prefix)
    prepare(questions, root)


def declare(names: Iterable[str]) -> str:
    """Jinja code for the start of a file: renames Cookiecutter's answers to Copier's names."""
    return "".join(f"{START}% set {name} = cookiecutter.{name} %{END}" for name in names)


def shipped(source: Path) -> list[Path]:
    """The files that Copier would read: no files ignored by Git, and no rendered copies."""
    files = [path for path in known_to_git(source) or source.rglob("*") if path.is_file()]
    return [path for path in files if not path.with_name(path.name + SUFFIX).exists()]


def known_to_git(source: Path) -> list[Path]:
    if not (source.parent / ".git").exists():
        return []
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=source, capture_output=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return []
    return [source / name.decode() for name in listed.stdout.split(b"\0") if name]


def add(root: Path, source: Path, prefix: str) -> None:
    relative = source.relative_to(root / "template")
    if source == root / ANSWERS_TEMPLATE:
        return
    source.chmod(checked_out(source.stat().st_mode))
    if source.suffix == SUFFIX:
        relative = relative.with_suffix("")
        source.write_bytes((prefix + translate(source.read_bytes().decode())).encode())
    target = root / DIRECTORY / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)


def checked_out(mode: int) -> int:
    """As in a checkout by Git: users that may read the file may execute it; no other bit is set."""
    readable = 0o666 & ~UMASK
    return readable | (readable & 0o444) >> 2 if mode & 0o100 else readable


def current_umask() -> int:
    """It can only be read by setting it."""
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


UMASK = current_umask()


def prepare(questions: dict[str, Any], root: Path) -> None:
    reserved = (root / "hooks/reserved_names.txt").read_text(encoding="utf-8").split()
    settings = {"_jinja2_env_vars": JINJA_SETTINGS, "_reserved_names": reserved}
    translated = {
        name: translate(value) if isinstance(value, str) else value
        for name, value in questions.items()
    }
    text = json.dumps({**settings, **translated})
    (root / "cookiecutter.json").write_text(text, encoding="utf-8")
