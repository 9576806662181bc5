"""`copier update` from every release to this checkout, with and without own edits."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cookiecutter.main import cookiecutter
from copier import run_copy, run_update

from tests.edits import edit, lost, substitute
from tests.engines import differences, git, release, tool, tree
from tests.releases import HEAD, STATES, published, released
from tests.service import Service

Make = Callable[[Path, Path, str], Path]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def all_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("published") / "ai-service-template")


@pytest.fixture
def releases(all_releases: Path, tmp_path: Path) -> Path:
    """A copy, because a test may publish another release."""
    return shutil.copytree(all_releases, tmp_path / "published" / all_releases.name)


def by_copier(releases: Path, directory: Path, tag: str) -> Path:
    service = directory / "ai-service"
    run_copy(str(releases), service, defaults=True, vcs_ref=tag, quiet=True)
    return committed(service, "new")


def by_cookiecutter(releases: Path, directory: Path, tag: str) -> Path:
    address = f"git+file://{releases}"
    made = cookiecutter(address, checkout=tag, no_input=True, output_dir=str(directory))
    return committed(Path(made), "new")


both_engines = pytest.mark.parametrize("make", [by_copier, by_cookiecutter])


def committed(service: Path, message: str) -> Path:
    git(service, "init", "--quiet")
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return service


def update(service: Path, tag: str) -> None:
    run_update(service, defaults=True, overwrite=True, quiet=True, vcs_ref=tag)
    assert conflicts(service) == []
    committed(service, tag)


def conflicts(service: Path) -> list[str]:
    files = [path for path in service.rglob("*") if path.is_file() and ".git" not in path.parts]
    marked = [path for path in files if b"\n<<<<<<< before updating" in path.read_bytes()]
    return [str(path) for path in [*marked, *service.rglob("*.rej")]]


@both_engines
def test_an_unchanged_service_is_updated_to_the_output_of_the_new_version(
    releases: Path, tmp_path: Path, make: Make
) -> None:
    """Byte for byte, from every release: an updated service equals a new one."""
    expected = tree(make(releases, tmp_path / "expected", HEAD))
    for tag in released(releases):
        service = make(releases, tmp_path / tag, tag)
        locks = locks_of(service)
        update(service, HEAD)
        changed = [
            name
            for name in differences(expected, tree(service))
            if not name.startswith("requirements")
        ]
        assert changed == [], tag
        assert locks_of(service) == locks, tag


def locks_of(service: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(service.glob("requirements*.txt"))]


@both_engines
def test_own_edits_survive_one_release_after_the_other(
    releases: Path, tmp_path: Path, make: Make
) -> None:
    first, *later = [*released(releases), HEAD]
    assert len(later) >= len(STATES)
    service = make(releases, tmp_path, first)
    edit(service)
    committed(service, "ours")
    for tag in later:
        update(service, tag)
        assert lost(service) == [], tag


@pytest.mark.timeout(900)
def test_make_update_leaves_a_service_with_own_edits_green(releases: Path, tmp_path: Path) -> None:
    """From the first release to the head by hand, then to the next one by `make update`."""
    first, *_ = released(releases)
    path = by_cookiecutter(releases, tmp_path, first)
    edit(path)
    committed(path, "ours")
    update(path, HEAD)
    service = Service(path)
    service.run("make", "updated")  # the first version has no `make update`
    committed(path, "locked")

    publish_another(releases)
    assert "check 'git diff'" in service.run("make", "update", f"COPIER={tool('copier')}")
    assert "one more thing" in (path / "README.md").read_text()
    assert lost(path) == []
    assert "tabulate==" in (path / "requirements.txt").read_text()
    service.run("make", "lint", "MYPY_WORKERS=0")
    assert " passed" in service.run("make", "test", "NATIVE=1")


def publish_another(releases: Path) -> None:
    readme = releases / "template/README.md.jinja"
    substitute(readme, "## Stay current\n", "## Stay current\n\nAnd one more thing.\n")
    release(releases, "v1000")
