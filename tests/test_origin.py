"""Where a service comes from: the address of a remote, so that it can be updated on any machine."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from bridge.remote import NotPublishedError, published, warnings
from copier import run_copy, run_update

from tests.engines import differences, git, run, tool, tree, with_cookiecutter
from tests.test_update import publish, under_git
from tools.make_new import check, record

ADDRESS = "https://git.example.com/team/template.git"


def clone_of(remote: str, directory: Path) -> Path:
    run("git", "clone", "--quiet", remote, str(directory))
    return directory


@pytest.fixture
def remote(lean_template: Path, tmp_path: Path) -> Path:
    run("git", "clone", "--quiet", "--bare", str(lean_template), str(tmp_path / "remote.git"))
    return tmp_path / "remote.git"


@pytest.fixture
def clone(remote: Path, tmp_path: Path) -> Path:
    return clone_of(f"file://{remote}", tmp_path / "clone")


def answers_of(service: Path) -> dict[str, str]:
    found: dict[str, str] = yaml.safe_load((service / ".copier-answers.yml").read_text())
    return found


def by_make_new(clone: Path, tmp_path: Path) -> Path:
    """Its three steps, in this process; tests/test_make_new.py runs the Makefile."""
    made = tmp_path / "by make new"
    assert check(clone, []) == 0
    run_copy(str(clone), made, defaults=True, quiet=True, vcs_ref="HEAD")
    record(clone, made / ".copier-answers.yml")
    return made


def by_cookiecutter(clone: Path, tmp_path: Path) -> Path:
    return with_cookiecutter(clone, tmp_path, {})


both_engines = pytest.mark.parametrize("make", [by_make_new, by_cookiecutter])
Make = Callable[[Path, Path], Path]


@both_engines
def test_a_service_is_updated_on_another_machine(
    remote: Path, clone: Path, tmp_path: Path, make: Make
) -> None:
    """The clone is gone, the service is at another path, and the next version is on the remote only."""
    made = under_git(make(clone, tmp_path))
    shutil.rmtree(clone)
    elsewhere = clone_of(str(made), tmp_path / "elsewhere/service")
    shutil.rmtree(made)
    next_version(remote, tmp_path)

    run_update(elsewhere, defaults=True, overwrite=True, quiet=True)

    assert "# of v0.2.0" in (elsewhere / "Makefile").read_text()
    assert answers_of(elsewhere)["_commit"] == "v0.2.0"
    assert answers_of(elsewhere)["_src_path"] == f"file://{remote}"


def next_version(remote: Path, tmp_path: Path) -> None:
    release_from = clone_of(str(remote), tmp_path / "release from")
    publish(release_from)
    git(release_from, "push", "--quiet", "origin", "HEAD", "v0.2.0")


def test_both_engines_remember_the_same(clone: Path, tmp_path: Path) -> None:
    one, other = by_make_new(clone, tmp_path), by_cookiecutter(clone, tmp_path)
    assert differences(tree(one), tree(other)) == []


@both_engines
def test_a_tag_that_is_not_pushed_is_not_needed_for_an_update(
    remote: Path, clone: Path, tmp_path: Path, make: Make
) -> None:
    git(clone, "tag", "v0.1.9")
    commit = answers_of(make(clone, tmp_path))["_commit"]
    assert git(remote, "rev-parse", commit) == git(clone, "rev-parse", "HEAD")


def pointing_at(clone: Path, url: str) -> str:
    """The remembered address when this is the address of the only remote."""
    git(clone, "config", "remote.origin.url", url)
    return published(clone).address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        (ADDRESS, ADDRESS),
        ("https://git.example.com/team/template", "git+https://git.example.com/team/template"),
        ("https://user:secret@git.example.com/team/template.git", ADDRESS),
        ("https://secret@git.example.com/team/template.git", ADDRESS),
        ("https://user:p@secret@git.example.com/team/template.git", ADDRESS),
        ("https://git.example.com/team/template.git?private_token=secret#x", ADDRESS),
        ("https://u:secret@git.example.com:8443/t.git", "https://git.example.com:8443/t.git"),
        ("http://secret@[::1]:80/t", "git+http://[::1]:80/t"),
        ("git@git.example.com:team/t.git", "git@git.example.com:team/t.git"),
        ("git.example.com:team/t", "git+git.example.com:team/t"),
        ("ssh://git@git.example.com/t.git", "ssh://git@git.example.com/t.git"),
        ("ssh://git:secret@git.example.com:22/t", "git+ssh://git@git.example.com:22/t"),
        ("file:///srv/t.git", "file:///srv/t.git"),
        ("file:///srv/a b", "git+file:///srv/a b"),
        ("/srv/a 100%.git", "file:///srv/a%20100%25.git"),
    ],
)
def test_an_address_is_remembered_as_copier_understands_it_and_without_secrets(
    clone: Path, url: str, address: str
) -> None:
    assert pointing_at(clone, url) == address
    assert "secret" not in address


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://user:pass/secret@git.example.com/t.git", id="slash-in-password"),
        pytest.param("https://user:12/secret@git.example.com/t.git", id="digits-and-slash"),
        pytest.param("ext::ssh -i secret git.example.com %S t.git", id="helper"),
    ],
)
def test_an_address_that_may_hold_a_secret_is_not_remembered(clone: Path, url: str) -> None:
    with pytest.raises(NotPublishedError, match="no address for other machines"):
        pointing_at(clone, url)


def test_a_relative_remote_is_remembered_in_full(clone: Path, remote: Path) -> None:
    assert pointing_at(clone, "../remote.git") == f"file://{remote}"
    assert any("its remote is a directory" in line for line in warnings(clone))


def test_an_abbreviation_of_the_users_own_is_written_out(clone: Path) -> None:
    git(clone, "config", "url.https://git.example.com/.insteadOf", "work:")
    assert pointing_at(clone, "work:team/template.git") == ADDRESS


def test_the_upstream_of_the_branch_comes_before_origin(clone: Path, remote: Path) -> None:
    git(clone, "remote", "add", "company", ADDRESS)
    branch = git(clone, "branch", "--show-current").strip()
    git(clone, "update-ref", f"refs/remotes/company/{branch}", "HEAD")
    assert published(clone).address == f"file://{remote}"
    git(clone, "branch", "--quiet", f"--set-upstream-to=company/{branch}")
    assert published(clone).address == ADDRESS


def test_a_remote_without_the_commit_is_passed_over(clone: Path) -> None:
    git(clone, "commit", "--quiet", "--allow-empty", "--message=unpushed")
    git(clone, "remote", "add", "fork", ADDRESS)
    git(clone, "update-ref", "refs/remotes/fork/main", "HEAD")
    assert published(clone).address == ADDRESS


def test_a_shallow_clone_of_a_tag_has_the_address(remote: Path, tmp_path: Path) -> None:
    command = ["git", "clone", "--quiet", "--depth=1", "--branch=v0.1.1", f"file://{remote}"]
    run(*command, str(tmp_path / "shallow"))
    assert published(tmp_path / "shallow").address == f"file://{remote}"


def no_git(clone: Path) -> None:
    shutil.rmtree(clone / ".git")


def no_remote(clone: Path) -> None:
    git(clone, "remote", "remove", "origin")


def unpushed(clone: Path) -> None:
    git(clone, "commit", "--quiet", "--allow-empty", "--message=mine")


def uncommitted(clone: Path) -> None:
    (clone / "template/DRAFT.md").write_text("draft\n")


@both_engines
@pytest.mark.parametrize(
    ("before", "said"),
    [
        (no_git, "this is not a Git clone"),
        (no_remote, "this clone has no remote"),
        (unpushed, "no remote has commit"),
        (uncommitted, "changes that are not committed"),
    ],
)
def test_one_line_names_the_changes_that_an_update_misses(
    *,
    clone: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    make: Make,
    before: Callable[[Path], None],
    said: str,
) -> None:
    before(clone)
    make(clone, tmp_path)
    lines = "".join(capfd.readouterr()).splitlines()
    assert len([line for line in lines if said in line]) == 1


def test_a_clone_with_its_commit_on_the_remote_prints_nothing(clone: Path) -> None:
    assert list(warnings(clone)) == []


@both_engines
def test_uncommitted_changes_leave_a_commit_from_which_an_update_works(
    remote: Path, clone: Path, tmp_path: Path, make: Make
) -> None:
    """They count as the service's own."""
    uncommitted(clone)
    service = under_git(make(clone, tmp_path))
    assert (service / "DRAFT.md").exists()
    next_version(remote, tmp_path)
    run_update(service, defaults=True, overwrite=True, quiet=True)
    assert "# of v0.2.0" in (service / "Makefile").read_text()
    assert (service / "DRAFT.md").exists()


@both_engines
def test_unpushed_commits_can_be_updated_from_this_machine(
    clone: Path, tmp_path: Path, make: Make
) -> None:
    unpushed(clone)
    service = under_git(make(clone, tmp_path))
    assert answers_of(service)["_src_path"] == str(clone)
    publish(clone)
    run_update(service, defaults=True, overwrite=True, quiet=True)
    assert "# of v0.2.0" in (service / "Makefile").read_text()


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
