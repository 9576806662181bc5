"""`copier update` brings the next version to a service, whichever engine made it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from copier import run_update

from tests.engines import (
    differences,
    git,
    release,
    run,
    tool,
    tree,
    with_cookiecutter,
    with_copier,
)


@pytest.fixture
def versions(lean_template: Path, tmp_path: Path) -> Path:
    """One version, from which services are made before `publish` adds v0.2.0."""
    return shutil.copytree(lean_template, tmp_path / "template")


def by_copier(template: Path, tmp_path: Path) -> Path:
    return with_copier(template, tmp_path / "service", {"author": "Ü"})


def by_cookiecutter(template: Path, tmp_path: Path) -> Path:
    return with_cookiecutter(template, tmp_path, {"author": "Ü"}).rename(tmp_path / "service")


def publish(template: Path) -> None:
    """A changed file, a changed templated file, a new one, a removed one, and another dependency."""
    makefile = template / "template/Makefile"
    makefile.write_text(makefile.read_text() + "\n# of v0.2.0\n")
    readme = template / "template/README.md.jinja"
    readme.write_text(readme.read_text() + "\n{{ author }} says: of v0.2.0\n")
    (template / "template/NEW.md").write_text("new\n")
    (template / "template/docs/architecture.md").unlink()
    lock = template / "template/requirements.txt"
    lock.write_text(lock.read_text() + "another==1.0\n")
    release(template, "v0.2.0")


def under_git(service: Path) -> Path:
    git(service, "init", "--quiet")
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--message=new")
    return service


@pytest.mark.parametrize("make", [by_copier, by_cookiecutter])
def test_a_service_receives_the_next_version_and_keeps_its_own_edits(
    versions: Path, tmp_path: Path, make: Callable[[Path, Path], Path]
) -> None:
    service = make(versions, tmp_path)
    own = service / "compose.yaml"
    own.write_text(own.read_text() + "\n# our own\n")
    lock = service / "requirements.txt"
    lock.write_text(lock.read_text() + "ours==2.0\n")
    locked = lock.read_text()
    under_git(service)
    publish(versions)

    run_update(service, defaults=True, overwrite=True, quiet=True)

    assert "# of v0.2.0" in (service / "Makefile").read_text()
    assert "Ü says: of v0.2.0" in (service / "README.md").read_text()
    assert (service / "NEW.md").exists()
    assert not (service / "docs/architecture.md").exists()
    assert "# our own" in own.read_text()
    assert lock.read_text() == locked  # never a conflict; `make lock` remakes it
    assert yaml.safe_load((service / ".copier-answers.yml").read_text())["_commit"] == "v0.2.0"
    assert "<<<<<<<" not in git(service, "diff")
    assert not list(service.rglob("*.rej"))


def test_no_update_touches_a_lock(versions: Path, tmp_path: Path) -> None:
    service = with_copier(versions, tmp_path / "service", {"lock": "poetry"})
    locks = ["poetry.lock", "requirements-poetry.txt", "requirements-dev.txt", "uv.lock"]
    for name in locks:
        (service / name).write_text("# ours\n")
        (versions / "template" / name).write_text("# theirs\n")
    under_git(service)
    publish(versions)
    run_update(service, defaults=True, overwrite=True, quiet=True)
    assert [(service / name).read_text() for name in locks] == ["# ours\n"] * len(locks)


def test_a_project_that_changes_to_poetry_gets_its_locks(versions: Path, tmp_path: Path) -> None:
    service = under_git(with_copier(versions, tmp_path / "service", {"lock": "requirements"}))
    run_update(service, data={"lock": "poetry"}, defaults=True, overwrite=True, quiet=True)
    for name in ("poetry.lock", "requirements-poetry.txt"):
        assert (service / name).read_text() == (versions / "template" / name).read_text()


@pytest.mark.slow
def test_the_update_command_explains_the_locks(versions: Path, tmp_path: Path) -> None:
    service = under_git(by_cookiecutter(versions, tmp_path))
    publish(versions)
    output = run(tool("copier"), "update", "--defaults", cwd=service)
    assert "make updated" in output


def test_an_update_to_the_same_version_changes_nothing(versions: Path, tmp_path: Path) -> None:
    service = under_git(by_cookiecutter(versions, tmp_path))
    before = tree(service)
    run_update(service, defaults=True, overwrite=True, quiet=True)
    assert differences(before, tree(service)) == []
    assert git(service, "status", "--porcelain") == ""


def test_an_update_can_change_an_answer(versions: Path, tmp_path: Path) -> None:
    service = under_git(by_cookiecutter(versions, tmp_path))
    run_update(service, data={"ci": "gitlab"}, defaults=True, overwrite=True, quiet=True)
    assert (service / ".gitlab-ci.yml").exists()
    assert not (service / ".github").exists()


def test_a_service_from_an_untagged_commit_can_be_updated(versions: Path, tmp_path: Path) -> None:
    """Made from a commit without a tag, as `make new` in a checkout that is ahead of it."""
    (versions / "template/NEW.md").write_text("untagged\n")
    git(versions, "add", "--all")
    git(versions, "commit", "--quiet", "--message=untagged")
    service = under_git(by_cookiecutter(versions, tmp_path))
    assert (service / "NEW.md").exists()
    publish(versions)
    run_update(service, defaults=True, overwrite=True, quiet=True)
    assert "# of v0.2.0" in (service / "Makefile").read_text()
    assert (service / "NEW.md").read_text() == "new\n"


def make_update(service: Path, *, check: bool = True) -> str:
    """As `make update` does it, with a Copier that is there already."""
    command = [tool("copier"), "update", "--defaults"]
    return run("sh", "scripts/update.sh", *command, cwd=service, check=check)


def test_make_update_refuses_a_service_with_changes_that_git_does_not_hold(
    versions: Path, tmp_path: Path
) -> None:
    service = under_git(by_copier(versions, tmp_path))
    publish(versions)
    (service / "draft.md").write_text("mine\n")
    before = tree(service)
    output = make_update(service, check=False)
    assert "commit your changes first" in output
    assert "draft.md" in output
    assert tree(service) == before


@pytest.mark.slow
def test_make_update_goes_on_with_the_new_versions_own_target(
    versions: Path, tmp_path: Path
) -> None:
    service = under_git(by_copier(versions, tmp_path))
    makefile = versions / "template/Makefile"
    makefile.write_text(
        makefile.read_text().replace("sh scripts/conflicts.sh", "sh scripts/new.sh")
    )
    (versions / "template/scripts/new.sh").write_text("echo as v0.2.0 does it; exit 3\n")
    publish(versions)
    assert "as v0.2.0 does it" in make_update(service, check=False)


@pytest.mark.slow
def test_make_update_fails_and_names_the_files_with_conflicts_until_they_are_solved(
    versions: Path, tmp_path: Path
) -> None:
    service = by_copier(versions, tmp_path)
    makefile = service / "Makefile"
    makefile.write_text(makefile.read_text() + "\n# ours, at the same place\n")
    under_git(service)
    publish(versions)
    output = make_update(service, check=False)
    assert "both sides changed the same lines" in output
    assert output.splitlines().count("Makefile") == 1

    git(service, "checkout", "--theirs", "Makefile")
    run("sh", "scripts/conflicts.sh", cwd=service)


@pytest.mark.parametrize("is_changed", [True, False])
def test_a_file_that_the_update_removed_is_named_if_the_project_had_changed_it(
    versions: Path, tmp_path: Path, *, is_changed: bool
) -> None:
    service = under_git(by_copier(versions, tmp_path))
    own = service / "docs/architecture.md"
    if is_changed:
        own.write_text(own.read_text() + "\nours\n")
        git(service, "commit", "--quiet", "--all", "--message=ours")
    publish(versions)
    run_update(service, defaults=True, overwrite=True, quiet=True)
    assert not own.exists()
    said = run("sh", "scripts/removed.sh", cwd=service)
    assert said.splitlines().count("docs/architecture.md") == int(is_changed)
