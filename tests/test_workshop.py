"""Projects take turns in one directory, which holds only the files of the current project."""

from pathlib import Path

import pytest

from tests.engines import Tree, differences, git, tree
from tests.workshop import Workshop, entries, lay_over


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write(
        tmp_path / "place",
        {"same.py": "same", "other.py": "old", "gone/gone.py": "", "gone/__pycache__/x.pyc": ""},
    )


@pytest.fixture
def wanted(tmp_path: Path) -> Tree:
    return tree(write(tmp_path / "wanted", {"same.py": "same", "other.py": "new", "new/a.py": ""}))


def write(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def test_the_shared_directory_holds_the_files_of_the_current_project_only(
    place: Path, wanted: Tree
) -> None:
    (place / "same.py").chmod(0o755)
    lay_over(place, wanted)
    assert differences(tree(place), wanted) == []


def test_a_file_of_the_same_bytes_is_not_written_again(place: Path, wanted: Tree) -> None:
    before = (place / "same.py").stat().st_mtime_ns, (place / "other.py").stat().st_mtime_ns
    lay_over(place, wanted)
    assert (place / "same.py").stat().st_mtime_ns == before[0]
    assert (place / "other.py").stat().st_mtime_ns > before[1]


def test_caches_stay_and_are_not_part_of_the_project(place: Path, wanted: Tree) -> None:
    write(place, {".mypy_cache/x.json": "", "new/__pycache__/a.pyc": ""})
    lay_over(place, wanted)
    assert (place / ".mypy_cache/x.json").exists()
    assert (place / "new/__pycache__/a.pyc").exists()
    assert set(entries(place)) == set(wanted)


def test_each_environment_is_restored_when_its_project_returns(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    project = write(tmp_path / "project", {"README.md": ""})
    environment = workshop.service.path / ".venv"
    for name in ("3.13-uv", "3.11-uv"):
        workshop.take(project, name)
        assert not environment.exists()
        write(environment, {"made-for": name})
    workshop.take(project, "3.13-uv")
    assert (environment / "made-for").read_text() == "3.13-uv"
    workshop.take(project, "3.13-uv")
    assert (environment / "made-for").read_text() == "3.13-uv"


def test_the_hooks_of_one_project_do_not_run_for_the_next(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    project = write(tmp_path / "project", {"README.md": ""})
    hook = workshop.take(project, "3.13-uv").path / ".git/hooks/pre-commit"
    write(hook.parent, {hook.name: "#!/bin/sh\nexit 1\n"})
    hook.chmod(0o755)
    workshop.take(project, "3.11-uv")
    assert git(workshop.service.path, "status", "--porcelain") == ""


def test_files_moved_aside_are_restored_over_new_ones(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    project = write(tmp_path / "project", {"a/b/c.py": "", "a/d.py": "", "e.toml": "old"})
    place = workshop.take(project, "any").path
    with workshop.without(["a/b", "a/b/c.py", "e.toml", "not there"]):
        assert set(entries(place)) == {"a", "a/d.py"}
        write(place, {"e.toml": "new", "a/b/c.pyc": ""})
    assert differences(tree(project), tree(place)) == []
