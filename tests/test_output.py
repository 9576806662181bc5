"""The steps of an engineer without Docker: install, commit, lock, run, edit, stop.

Linters and tests of a fresh service: tests/test_every_answer.py, for every answer.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.debugging import answer_after_a_stop, output_after_a_stop
from tests.engines import REPOSITORY
from tests.service import Service, free_port, generate, press_ctrl_c, wait_until
from tests.shown import Step, steps, take, with_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Service:
    service = generate(tmp_path_factory.mktemp("native") / "a service")
    service.run("make", "install")
    return service


@pytest.fixture
def service(installed: Service) -> Service:
    """The service as it was installed, without changes of other tests."""
    return installed.restore()


def test_a_fresh_service_passes_its_own_pre_commit_hooks(service: Service) -> None:
    service.run(".venv/bin/pre-commit", "run", "--all-files")


def test_the_locks_that_are_shipped_are_those_of_the_dependencies(service: Service) -> None:
    service.run("make", "lock")
    assert service.run("git", "status", "--porcelain") == ""


def test_committing_a_secrets_file_is_refused(service: Service) -> None:
    (service.path / ".env").write_text("OPENAI_API_KEY=sk-secret\n")
    service.run("git", "add", "--force", ".env")
    with pytest.raises(AssertionError, match="stays on this machine"):
        service.run(".venv/bin/pre-commit", "run", "no-secrets-file", "--files", ".env")


def test_nothing_that_the_targets_leave_behind_would_be_committed(service: Service) -> None:
    service.run("make", "lint")
    assert service.run("git", "status", "--porcelain") == ""


def test_with_pythondontwritebytecode_bytecode_goes_under_venv(service: Service) -> None:
    one = "ARGS=--numprocesses 0 tests/test_env_example.py"
    service.run("env", "PYTHONDONTWRITEBYTECODE=1", "make", "test", "NATIVE=1", one)
    assert list(service.path.glob(".venv/pycache/**/tests/*.pyc"))
    assert not list((service.path / "tests").rglob("__pycache__"))


def test_make_dev_serves_reloads_and_leaves_no_process_behind(service: Service) -> None:
    with service.running("make", "dev", "NATIVE=1") as make:
        service.wait_until_healthy(make)
        assert "mock API" in service.ask("Hello")["content"]
        assert service.ask("Hello")["cached"] is True
        assert service.edit_a_route("edited") < 5
        press_ctrl_c(make, timeout=15)
    assert f"http://127.0.0.1:{service.app_port}/docs" in service.output
    assert processes_below(service.path) == []


def test_the_first_day_goes_as_its_page_shows(service: Service) -> None:
    start, *others = steps(with_ports((service.path / "docs/first-day.md").read_text(), service))
    assert isinstance(start, Step)
    assert "make dev " in start.command
    with service.running("env", "NATIVE=1", "bash", "-c", start.command) as make:
        service.wait_until_healthy(make)
        wait_until(lambda: start.matches(service.output))
        for step in others:
            take(service, step)
    assert processes_below(service.path) == []


def test_a_debugger_stops_in_a_route_of_make_dev_and_again_after_an_edit(service: Service) -> None:
    port = free_port()
    with service.running("make", "dev", "NATIVE=1", f"DEBUG_PORT={port}") as make:
        service.wait_until_healthy(make)
        assert "mock API" in answer_after_a_stop(service, port)
        service.edit_a_route("debugged")
        wait_until(lambda: service.status_of("/healthz") == 200)
        assert "mock API" in answer_after_a_stop(service, port)
        press_ctrl_c(make, timeout=15)
    assert f"debugger    127.0.0.1:{port}" in service.output
    assert processes_below(service.path) == []


def test_a_debugger_stops_in_a_test(service: Service) -> None:
    port = free_port()
    output = output_after_a_stop(service, port, "NATIVE=1")
    assert f"make test: waiting for a debugger at 127.0.0.1:{port}" in output
    assert "1 passed" in output


def test_make_dev_ends_with_an_error_when_the_configuration_is_wrong(service: Service) -> None:
    (service.path / ".env").write_text("RETRY_MAX_ATTEMPTS=many\n")
    with pytest.raises(AssertionError, match="RETRY_MAX_ATTEMPTS"):
        service.run("make", "dev", "NATIVE=1", timeout=60)
    assert processes_below(service.path) == []


def test_the_doctor_finds_no_fault_in_a_new_service(service: Service) -> None:
    assert "FAIL" not in service.run("make", "doctor")


@pytest.mark.parametrize(
    ("break_it", "found"),
    [
        pytest.param("echo RETRY_MAX_ATTEMPTS=0 > .env", "RETRY_MAX_ATTEMPTS", id="bad-value"),
        pytest.param(
            """sed -i 's/"fastapi>=/"flask>=1", "fastapi>=/' pyproject.toml && touch -d 2000-01-01 pyproject.toml""",
            "flask: run make lock",
            id="unlocked-dependency",
        ),
        pytest.param("echo CLIENT_KEYS=acme:hash > .env", "CLIENT_KEYS", id="bad-key"),
        pytest.param("echo APP_ENV=staging > .env", "CLIENT_KEYS: must be set", id="no-keys"),
        pytest.param("rm requirements-dev.txt", "requirements-dev.txt is missing", id="no-lock"),
    ],
)
def test_the_doctor_names_each_fault(service: Service, break_it: str, found: str) -> None:
    service.run("sh", "-c", break_it)
    with pytest.raises(AssertionError, match=found):
        service.run("make", "doctor")


def test_the_doctor_names_expired_keys_of_clients(service: Service) -> None:
    (service.path / ".env").write_text(
        f"CLIENT_KEYS=acme:{'0' * 64}:2020-01-31,globex:{'1' * 64}\n"
    )
    found = service.run("make", "doctor")
    assert "CLIENT_KEYS: entry 1 (acme): expired on 2020-01-31" in found
    assert "globex" not in found
    assert "0" * 64 not in found


def test_the_doctor_notices_that_a_key_alone_changes_nothing(service: Service) -> None:
    (service.path / ".env").write_text("OPENAI_API_KEY=sk-mine\nANTHROPIC_API_KEY=\n")
    found = service.run("make", "doctor")
    assert "set OPENAI_BASE_URL too" in found
    assert "set ANTHROPIC_BASE_URL too" not in found
    assert "sk-mine" not in found


def test_a_chore_that_needs_docker_fails_with_the_reason(service: Service) -> None:
    with pytest.raises(
        AssertionError, match="make observe: needs a Docker engine, and none answers"
    ):
        service.run("env", "DOCKER_HOST=tcp://127.0.0.1:1", "make", "observe")


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_the_lock_installs_on_every_python_that_is_offered(version: str, tmp_path: Path) -> None:
    """A dry run: resolved and downloadable for that version, with every hash checked."""
    lock = REPOSITORY / "template/requirements-dev.txt"
    resolve = [sys.executable, "-m", "uv", "pip", "install", "--dry-run", "--require-hashes"]
    target = ["--no-deps", "--only-binary=:all:", "--python-platform=linux", f"--target={tmp_path}"]
    which = [f"--python-version={version}", f"--requirement={lock}"]
    subprocess.run([*resolve, *target, *which], check=True)


def processes_below(directory: Path) -> list[str]:
    """Command lines of processes in the service's working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cwd").resolve() == directory.resolve():
                found.append(process.joinpath("cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile, or belongs to another user
    return found
