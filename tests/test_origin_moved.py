"""A template that has moved: `make update` names it, and takes a new address."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.engines import git, run, tool, tree, with_cookiecutter
from tests.origins import answers_of, by_make_new, next_version, no_remote, unpushed
from tests.test_update import under_git


@dataclass(frozen=True)
class Moved:
    """A service with an answers file that names a removed template."""

    service: Path
    now: Path

    def update(self, *arguments: str, check: bool = False) -> str:
        command = [tool("copier"), "update", "--defaults", *arguments]
        return run("sh", "scripts/update.sh", *command, cwd=self.service, check=check)


@pytest.fixture(params=["directory", "address"])
def moved(
    *,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    remote: Path,
    clone: Path,
    tmp_path: Path,
) -> Moved:
    """`make`, which would install, does nothing."""
    if request.param == "directory":
        unpushed(clone)
        git(clone, "push", "--quiet", "--set-upstream", "origin", "HEAD")
        no_remote(clone)
    service = under_git(by_make_new(clone, tmp_path))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/make").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    next_version(remote, tmp_path)
    shutil.rmtree(clone)
    return Moved(service, remote.rename(tmp_path / "it's moved.git"))


def test_make_update_names_the_template_and_the_way_on(moved: Moved) -> None:
    before = tree(moved.service)
    first, *_, last = moved.update().splitlines()
    assert "is not at" in first or "cannot be reached" in first
    assert last.startswith('make update ARGS="--from https://')
    assert tree(moved.service) == before


def test_make_update_from_an_address_remembers_it(moved: Moved) -> None:
    head = git(moved.service, "rev-parse", "HEAD")
    moved.update(f"--from={moved.now}", check=True)
    assert (moved.service / "NEW.md").exists()
    assert answers_of(moved.service)["_src_path"] == f"git+file://{moved.now}"
    assert answers_of(moved.service)["_commit"] == "v0.2.0"
    assert git(moved.service, "rev-parse", "HEAD") == head
    assert git(moved.service, "diff", "--cached", "--name-only") == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from"], "--from needs an address"),
        (["--from", "nonsense"], "nonsense is not the address"),
        (["--from", "/no/where"], "/no/where is not the address"),
        (["--from=http://user:secret@127.0.0.1:9/t.git"], "http://127.0.0.1:9/t.git cannot be"),
    ],
    ids=["none", "word", "directory", "unreachable"],
)
def test_a_wrong_address_is_named_and_changes_nothing(
    lean_template: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    service = under_git(with_cookiecutter(lean_template, tmp_path, {}))
    before = tree(service)
    output = Moved(service, tmp_path).update(*arguments)
    assert said in output.splitlines()[0]
    assert "secret" not in output
    assert tree(service) == before


def test_an_address_of_a_repository_without_the_commit_is_not_remembered(
    lean_template: Path, tmp_path: Path
) -> None:
    service = under_git(with_cookiecutter(lean_template, tmp_path, {}))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/README.md").write_text("another template\n")
    other = under_git(tmp_path / "other")
    before, head = tree(service), git(service, "rev-parse", "HEAD")
    output = Moved(service, other).update("--from", str(other))
    assert "It needs commit v0.1.1" in output
    assert tree(service) == before
    assert git(service, "rev-parse", "HEAD") == head
    assert git(service, "status", "--porcelain") == ""
