"""One directory in which services take turns, so that the caches of the tools are reused.

Linters, type checker and Python cache results for as long as a file stays the same
at the same path. In a directory of its own, each service would be read without any cache.
"""

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.engines import Tree, entry, git, tree
from tests.service import Service

CACHES = {
    *{".git", ".venv", "__pycache__"},
    *{".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache"},
}


@dataclass
class Workshop:
    directory: Path
    environment: str = ""
    service: Service = field(init=False)

    def __post_init__(self) -> None:
        self.service = Service(self.directory / "a service")
        self.service.path.mkdir()

    def take(self, project: Path, environment: str) -> Service:
        """The project, newly under Git, where the last one was; without .venv if that was never made."""
        lay_over(self.service.path, tree(project))
        self.change_environment(environment)
        remove(self.service.path / ".git")  # its hooks are those of another environment
        git(self.service.path, "init", "--quiet")
        git(self.service.path, "add", "--all")
        git(self.service.path, "commit", "--quiet", "--allow-empty", "--message=new")
        return self.service

    def laid_out(self) -> Tree:
        return {name: entry(self.service.path / name) for name in entries(self.service.path)}

    def change_environment(self, name: str) -> None:
        """An environment works only where it was made, so the others are moved out of its way."""
        here = self.service.path / ".venv"
        if here.exists():
            here.rename(self.directory / self.environment)
        if (kept := self.directory / name).exists():
            kept.rename(here)
        self.environment = name

    @contextmanager
    def without(self, names: Iterable[str]) -> Iterator[None]:
        """Remove these files for a while; files that the caller writes in their place are removed again."""
        aside = self.directory / "aside"
        moved = [name for name in sorted(names) if (self.service.path / name).exists()]
        moved = [name for name in moved if not {*map(str, Path(name).parents)} & {*moved}]
        for name in moved:
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            (self.service.path / name).rename(aside / name)
        try:
            yield
        finally:
            for name in moved:
                remove(self.service.path / name)
                (aside / name).rename(self.service.path / name)


def lay_over(place: Path, wanted: Tree) -> None:
    """A file of the same bytes is not touched. Of all other files only the caches stay."""
    for name in set(entries(place)) - wanted.keys():
        remove(place / name)
    for name, (mode, text) in wanted.items():
        path = place / name
        if stat.S_ISDIR(mode):
            path.mkdir(exist_ok=True)
        elif not path.exists() or path.read_bytes() != text:
            path.write_bytes(text)
        path.chmod(mode)


def entries(place: Path) -> Iterator[str]:
    for root, directories, files in os.walk(place):
        directories[:] = sorted(set(directories) - CACHES)
        for name in [*directories, *files]:
            yield str(Path(root, name).relative_to(place))


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
