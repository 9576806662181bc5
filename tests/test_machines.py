"""`make install`, its Git hook and `make doctor` on machines that are set up in unusual ways."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.engines import run
from tests.machines import executable, shell
from tests.renders import Renders
from tests.service import POETRY, generate

ELSEWHERE = {
    "UV_SYSTEM_PYTHON": "1",
    "UV_PYTHON": "/usr/bin/python3",
    "UV_PROJECT_ENVIRONMENT": "/elsewhere",
    "UV_TARGET": "/elsewhere",
    "UV_PREFIX": "/elsewhere",
    "UV_BREAK_SYSTEM_PACKAGES": "1",
    "UV_NO_DEV": "1",
    "UV_OF_THE_NEXT_RELEASE": "1",
    "PIP_USER": "1",
    "PIP_TARGET": "/elsewhere",
    "PIP_PREFIX": "/elsewhere",
    "PIP_ROOT": "/elsewhere",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_BINARY": ":all:",
    "POETRY_VIRTUALENVS_CREATE": "false",
    "POETRY_VIRTUALENVS_PATH": "/elsewhere",
    "PYTHONPATH": "/elsewhere",
    "PYTHONHOME": "/elsewhere",
    "PYTHONSAFEPATH": "1",
    "VIRTUAL_ENV": "/elsewhere",
    "CONDA_PREFIX": "/elsewhere",
}
FROM_WHERE = {
    "UV_INDEX_URL": "https://index.test/simple",
    "UV_DEFAULT_INDEX": "https://index.test/simple",
    "UV_INDEX_OURS_PASSWORD": "canary",
    "UV_NATIVE_TLS": "1",
    "UV_OFFLINE": "1",
    "UV_CACHE_DIR": "/cache",
    "UV_CONFIG_FILE": "/uv.toml",
    "PIP_INDEX_URL": "https://index.test/simple",
    "PIP_CONFIG_FILE": "/pip.conf",
    "PIP_CERT": "/ca.pem",
    "HTTPS_PROXY": "http://proxy.test:3128",
    "SSL_CERT_FILE": "/ca.pem",
}


@pytest.mark.parametrize("lock", ["requirements", "poetry", "uv", "the template"])
def test_recipes_get_the_variables_of_sources_and_not_of_targets(
    lock: str, renders: Renders, lean_template: Path
) -> None:
    place = lean_template
    if lock != "the template":
        place = renders.by_copier(lean_template, {"lock": lock})
    done = shell(place, "make", "--eval=seen: ; @env", "seen", **ELSEWHERE, **FROM_WHERE)
    assert done.returncode == 0, done.stderr
    seen = dict(line.partition("=")[::2] for line in done.stdout.splitlines() if "=" in line)
    own = {"UV_PYTHON"} if lock == "uv" else set()  # .venv's
    assert seen.keys() & ELSEWHERE.keys() == own
    assert seen.get("UV_PYTHON", "").startswith(str(place)) or not own
    assert FROM_WHERE.items() <= seen.items()


def installed(service: Path, *arguments: str, **variables: str) -> str:
    """The output of `make install` with stand-ins for Python, pip and uv, of which uv fails."""
    stamp = service / ".venv/bin/.installed"
    executable(service / "python", "echo Python 3.13.0")
    executable(service / ".venv/bin/python", "exit 0")
    executable(service / ".venv/bin/uv", "echo the index is away; exit 4")
    (service / "uv.lock").touch()
    stamp.touch()
    os.utime(stamp, (0, 0))
    done = shell(service, "make", "install", f"PYTHON={service}/python", *arguments, **variables)
    assert done.returncode != 0
    assert not stamp.exists()
    assert not list(service.glob(".venv/step.*"))
    return done.stdout + done.stderr


@pytest.mark.parametrize("lock", ["requirements", "poetry", "uv"])
def test_a_failed_install_shows_the_tools_words_and_leaves_no_stamp(
    lock: str, renders: Renders, lean_template: Path, tmp_path: Path
) -> None:
    made = renders.by_copier(lean_template, {"lock": lock})
    service = shutil.copytree(made, tmp_path / "service")
    executable(service / "poetry", "echo the index is away; exit 4")
    output = installed(service, f"POETRY={service}/poetry")
    assert "the index is away" in output
    assert "failed (4), see above" in output
    assert "'make doctor' may know why" in output


@pytest.mark.parametrize("line", ["[pip]\ntarget = '/x'", "pip.prefix = '/x'"])
def test_a_configuration_that_sends_uv_elsewhere_is_refused(
    line: str, renders: Renders, lean_template: Path, tmp_path: Path
) -> None:
    made = renders.by_copier(lean_template, {"lock": "requirements"})
    service = shutil.copytree(made, tmp_path / "service")
    (tmp_path / "uv.toml").write_text(line)
    output = installed(service, UV_CONFIG_FILE=str(tmp_path / "uv.toml"))
    assert "would install outside .venv" in output
    assert "the index is away" not in output


def test_a_step_that_succeeds_prints_nothing(lean_template: Path, tmp_path: Path) -> None:
    script = lean_template / "template/scripts/step.sh"
    done = shell(tmp_path, "sh", str(script), "sh", "-c", "echo much; echo more >&2")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_fails_prints_its_output_while_another_one_makes_the_environment(
    lean_template: Path, tmp_path: Path
) -> None:
    script = lean_template / "template/scripts/step.sh"
    making = "echo the reason; rm -rf .venv; mkdir .venv; exit 3"
    done = shell(tmp_path, "sh", str(script), "sh", "-c", making)
    assert done.returncode == 3
    reason, *advice = done.stderr.splitlines()
    assert reason == "the reason"
    assert "'sh' failed (3), see above: nothing was marked as done" in advice[0]
    assert max(map(len, advice)) <= 80


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        pytest.param(
            "    | Unable to find installation candidates for pip (26.3)\n    | 1. Regenerate lockfile",
            [
                "make install: the package index has no file of pip (26.3) for Poetry,",
                "which reads pages that pip and uv do not need. Use another index, or uv's lock:",
                "  .venv/bin/uv tool run copier update --defaults --data lock=uv && make updated",
            ],
            id="index",
        ),
        pytest.param(
            "No space left",
            [
                "No space left",
                "make: './poetry' failed (1), see above: nothing was marked as done.",
                "Fix it and run the same command again; 'make doctor' may know why",
            ],
            id="other",
        ),
    ],
)
def test_an_index_without_poetrys_pages_is_named_with_the_way_on(
    template: Path, tmp_path: Path, said: str, lines: list[str]
) -> None:
    shutil.copytree(template / "template/scripts", tmp_path / "scripts")
    (tmp_path / "said").write_text(f"{said}\n")
    (tmp_path / "poetry").write_text("#!/bin/sh\ncat said\nexit 1\n")
    (tmp_path / "poetry").chmod(0o755)
    done = shell(tmp_path, "sh", "scripts/locks/poetry.sync.sh", "./poetry", "sync")
    assert done.returncode == 1
    assert done.stderr.splitlines() == lines
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("variables", "env_file", "found"),
    [
        ({"APP_PORT": "abc"}, b"", "FAIL  APP_PORT: abc is not a port"),
        ({"APP_PORT": "99999"}, b"", "FAIL  APP_PORT: 99999 is not a port"),
        ({"MOCK_PORT": '"9000"'}, b"", "FAIL  MOCK_PORT: the quotes are part"),
        ({"APP_PORT": ""}, b"APP_PORT = '18795' # ours", "port 18795"),
        ({"APP_PORT": ""}, "export APP_PORT=18796\r\n".encode("utf-16"), "port 18796"),
        ({}, b"# Schl\xfcssel\n", "FAIL  .env: line 1 is not UTF-8: save it as UTF-8"),
        ({}, b"A=1\n\0", "FAIL  .env: line 2 has a NUL byte"),
    ],
)
def test_the_doctor_names_unreadable_files(
    variables: Mapping[str, str], env_file: bytes, found: str, template: Path, tmp_path: Path
) -> None:
    """Before anything is installed."""
    place = shutil.copytree(template / "template", tmp_path / "service")
    (place / "pyproject.toml").write_text("[project]\ndependencies=[]\n[dependency-groups]\ndev=[]")
    (place / ".env").write_bytes(env_file)
    done = shell(place, sys.executable, "scripts/doctor.py", **variables)
    assert found in done.stdout
    assert "no .python-version" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_machine_where_everything_is_set_installs_lints_and_tests_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing outside the directory is changed, and `make dev` does not ask the proxy for itself."""
    service = generate(tmp_path / "made")
    home, outside = tmp_path / "home", tmp_path / "elsewhere"
    for directory in (home, outside):
        directory.mkdir()
    config = tmp_path / "gitconfig"
    config.write_text(f"[core]\nhooksPath = {outside}\n")
    elsewhere = {name: v.replace("/elsewhere", str(outside)) for name, v in ELSEWHERE.items()}
    for name, value in {**elsewhere, "HTTP_PROXY": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("HOME", str(home))
    output = service.run("make", "install", "lint", "test", "NATIVE=1")
    assert f"the Git hook was not installed: core.hooksPath is {outside}" in output
    assert list(outside.iterdir()) == []
    assert {path.name for path in home.iterdir()} <= {".cache", ".rustup", ".ipython", ".local"}
    assert service.run("git", "status", "--porcelain") == ""
    with service.running("make", "dev", "NATIVE=1") as make:
        monkeypatch.delenv("HTTP_PROXY")  # of this process, which asks what make started
        service.wait_until_healthy(make)
        assert service.ask()["content"]


@pytest.mark.slow
def test_poetry_installs_into_venv_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = generate(tmp_path / "made", lock="poetry")
    (tmp_path / "elsewhere").mkdir()
    for name, value in ELSEWHERE.items():
        monkeypatch.setenv(name, value.replace("/elsewhere", str(tmp_path / "elsewhere")))
    service.run("make", "install", POETRY)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    monkeypatch.undo()  # this interpreter needs its own PYTHONHOME
    run(str(service.path / ".venv/bin/python"), "-c", "import app, fastapi")
