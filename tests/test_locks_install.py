"""The locks in use: each tool accepts its lock, and all locks install the same packages."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.engines import run, tool
from tests.service import POETRY, Service, generate
from tests.test_locks import PIN, TEMPLATE, locked, pinned

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.xdist_group("locks")]


@pytest.fixture(scope="module", params=["requirements", "poetry", "uv"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Service:
    service = generate(tmp_path_factory.mktemp("locks") / "a service", lock=request.param)
    service.run("make", "install", POETRY)
    service.run("git", "add", "--all")
    service.run("git", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet",
                "--allow-empty", "--message=installed")  # fmt: skip
    return service


@pytest.fixture
def service(installed: Service) -> Service:
    """The service as it was installed, without changes of other tests."""
    return installed.restore()


def test_each_choice_installs_the_same(service: Service) -> None:
    """Except packages for other platforms or Pythons only; pip comes with the environment."""
    python = f"--python={service.path}/.venv/bin/python"
    listed = run(tool("uv"), "pip", "freeze", python)
    there = {pin for pin in PIN.findall(listed) if pin[0] != "pip"}
    assert there < pinned(TEMPLATE / "requirements-dev.txt")
    wanted = run(
        tool("uv"), "pip", "sync", "--dry-run", python, str(service.path / "requirements-dev.txt")
    )
    assert " + " not in wanted


def test_remaking_the_locks_changes_nothing(service: Service) -> None:
    service.run("make", "lock", POETRY)
    assert service.run("git", "status", "--porcelain") == ""


def test_an_upgrade_takes_no_release_that_is_too_young(service: Service) -> None:
    """Of a hundred years there is none."""
    with pytest.raises(AssertionError, match=r"releases that are 36500 days old"):
        service.run("make", "upgrade", "MIN_AGE_DAYS=36500", POETRY)
    assert service.run("git", "status", "--porcelain") == ""


def test_the_linters_accept_the_locks(service: Service) -> None:
    service.run("make", "lint", POETRY)


def test_uvs_first_lock_names_the_versions_of_the_requirements_files_before_and_after_an_install(
    tmp_path: Path,
) -> None:
    service = generate(tmp_path / "made", lock="uv")
    assert "uv.lock is new: commit it" in service.run("make", "install")
    assert locked(service.path / "uv.lock") == pinned(TEMPLATE / "requirements-dev.txt")
    assert "constraints" not in (service.path / "uv.lock").read_text()
    # After `make update ARGS="-d lock=uv"` the packages are installed, and there is no uv.lock.
    (service.path / "uv.lock").unlink()
    service.run("make", "lock")
    assert service.run("git", "status", "--porcelain") == "?? uv.lock\n"
    assert locked(service.path / "uv.lock") == pinned(TEMPLATE / "requirements-dev.txt")


def test_uvs_lock_does_not_remember_how_old_a_release_had_to_be(tmp_path: Path) -> None:
    """Otherwise `make lint` would find it outdated. Like `make upgrade`, but no version moves."""
    service = generate(tmp_path / "made", lock="uv")
    service.run("make", "install")
    service.run("make", "lock", "UPGRADE=--exclude-newer=1d")
    service.run(".venv/bin/uv", "lock", "--check")


def test_the_linters_notice_locks_that_disagree(tmp_path: Path) -> None:
    """For example after `uv add` without `make lock`."""
    service = generate(tmp_path / "made", lock="uv")
    service.run("make", "install")
    lock = service.path / "requirements-dev.txt"
    lock.write_text(lock.read_text().replace("tenacity==", "tenacity==1."))
    with pytest.raises(AssertionError, match=r"tenacity==1\..*run: make lock"):
        service.run("make", "lint", "--old-file=requirements-dev.txt")


@pytest.fixture(scope="module", params=["3.11", "3.13"])
def python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with pip, of that Python."""
    environment: Path = tmp_path_factory.mktemp("python") / request.param
    make = [tool("uv"), "venv", "--quiet", "--seed", "--no-python-downloads"]
    # Where pyenv keeps the Pythons, its `python3.13` answers only when that one is asked for.
    shell = {**os.environ, "PYENV_VERSION": request.param}
    command = [*make, f"--python={request.param}", str(environment)]
    if subprocess.run(command, env=shell, check=False).returncode:
        pytest.skip(f"Python {request.param} is not on this machine")
    return environment / "bin/python"


def test_poetry_as_it_is_locked_accepts_its_lock(python: Path, tmp_path: Path) -> None:
    service = generate(tmp_path / "made", lock="poetry")
    (service.path / ".venv").symlink_to(python.parent.parent)
    run(tool("uv"), "pip", "install", "--quiet", f"--python={python}", "uv")
    service.run("sh", "scripts/locks/poetry.sh")
    assert "All set!" in service.run(".venv/poetry/bin/poetry", "check", "--lock")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param([tool("uv"), "pip", "sync", "--require-hashes", "--python={python}"], id="uv"),
        pytest.param(["{python}", "-m", "pip", "install", "--require-hashes", "-r"], id="pip"),
    ],
)
def test_the_requirements_files_install(python: Path, command: list[str]) -> None:
    lock = TEMPLATE / "requirements-dev.txt"
    run(*(word.format(python=python) for word in command), str(lock), "--dry-run")


def test_pip_sync_would_install_every_package(python: Path) -> None:
    """It exits with 1 when there is something to do, and with 2 when the file is not to be used."""
    lock = TEMPLATE / "requirements-dev.txt"
    command = [tool("pip-sync"), "--dry-run", f"--python-executable={python}", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "  fastapi==" in done.stdout
    assert "  mypy==" in done.stdout
