"""`make dev` finds mistakes before it starts anything, with one line for each."""

import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.machines import executable, shell
from tests.service import free_port

EX_CONFIG = 78


@pytest.fixture
def place(template: Path, tmp_path: Path) -> Path:
    made = tmp_path / "service"
    made.mkdir()
    for name in ("scripts", "src", "observability"):
        shutil.copytree(template / "template" / name, made / name)
    for name in (".env.example", "Makefile"):
        shutil.copy(template / "template" / name, made)
    (made / "pyproject.toml").write_text('[project]\nname = "one"\n')
    return made


def found(place: Path, *arguments: str, **variables: str) -> tuple[int, list[str]]:
    """The exit code, and the printed lines."""
    ports = {"APP_PORT": str(free_port()), "MOCK_PORT": str(free_port())}
    given = {**dict.fromkeys(("OPENAI_BASE_URL", "LLM_PROVIDERS"), ""), **ports, **variables}
    given = {name: value for name, value in given.items() if value}
    program = (sys.executable, "-m", "scripts.before_dev", *arguments)
    done = shell(place, *program, **given)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.splitlines()


def test_without_a_mistake_nothing_is_printed(place: Path) -> None:
    assert found(place) == (0, [])


@pytest.mark.parametrize(
    ("env_file", "variables", "line"),
    [
        ("OPENAI_API_KEY=sk-canary\n", {}, "OPENAI_API_KEY is set in .env, but the mock API would"),
        ("A=1\n\0", {}, ".env: line 2 has a NUL byte"),
        ("", {"APP_PORT": "abc"}, "APP_PORT: abc is not a port"),
    ],
    ids=["key", "env file", "port"],
)
def test_a_mistake_is_one_line(
    place: Path, env_file: str, variables: Mapping[str, str], line: str
) -> None:
    (place / ".env").write_text(env_file)
    code, lines = found(place, **variables)
    assert (code, len(lines)) == (EX_CONFIG, 1)
    assert lines[0].startswith(f"make dev: {line}")


@pytest.mark.parametrize(
    ("env_file", "variables"),
    [
        ("OPENAI_API_KEY=\n", {}),
        ("OPENAI_API_KEY= # later\n", {}),
        ("# OPENAI_API_KEY=sk-canary\n", {}),
        ("OPENAI_API_KEY=sk-canary\nOPENAI_BASE_URL=https://api.openai.com/v1\n", {}),
        ("OPENAI_API_KEY=sk-canary\n", {"OPENAI_BASE_URL": "https://api.openai.com/v1"}),
        ("OPENAI_API_KEY=sk-canary\nLLM_PROVIDERS=anthropic\n", {}),
        ("", {"OPENAI_API_KEY": "sk-canary"}),
    ],
    ids=["empty", "comment", "commented", "address", "exported", "not asked", "of the shell"],
)
def test_a_key_that_is_no_mistake_passes(
    place: Path, env_file: str, variables: Mapping[str, str]
) -> None:
    (place / ".env").write_text(env_file)
    assert found(place, **variables) == (0, [])


def test_a_port_in_use_is_named_with_a_way_out(place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, lines = found(place, APP_PORT=str(port))
    assert (code, len(lines)) == (EX_CONFIG, 1)
    assert f"port {port}: in use" in lines[0]
    assert f"APP_PORT={port + 10} make dev" in lines[0]


@pytest.mark.parametrize(("running", "code"), [("echo 0a1b2c", 0), ("exit 1", EX_CONFIG)])
def test_ports_of_containers_that_run_already_are_no_mistake(
    place: Path, running: str, code: int
) -> None:
    executable(place / "bin/docker", running)
    path = f"{place}/bin:/usr/bin:/bin"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert found(place, "--containers", APP_PORT=port, PATH=path)[0] == code


@pytest.mark.parametrize("target", ["build", "scan-image", "rules", "observe"])
def test_without_docker_a_target_that_needs_it_says_so(place: Path, target: str) -> None:
    executable(place / "bin/docker", "exit 1")
    done = shell(place, "make", target, PATH=f"{place}/bin:/usr/bin:/bin")
    ours = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert ours == [
        f"make {target}: needs a Docker engine, and none answers.",
        "'make doctor' may know why",
    ]
    assert (done.returncode, done.stdout) == (2, "")
