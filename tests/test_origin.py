"""Where a service comes from: the address of a remote, so that it can be updated on any machine."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from bridge.remote import NotPublishedError, published, warnings
from copier import run_update

from tests.engines import clone_of, differences, git, run, tree, with_cookiecutter
from tests.origins import answers_of, by_make_new, next_version, no_remote, unpushed
from tests.test_update import publish, under_git

ADDRESS = "https://git.example.com/team/template.git"


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
