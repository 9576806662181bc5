"""A generated service as its user has it: a directory, its Makefile and its ports."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from copier import run_copy

from tests.engines import REPOSITORY, tool

# Poetry's own client asks for more than the index of every workplace serves.
POETRY = f"POETRY=env PYTHONPATH={REPOSITORY} {tool('python')} -m tools.simple_poetry"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def generate(destination: Path, **answers: str) -> "Service":
    """A service with the default answers, but for those given, under version control."""
    run_copy(str(REPOSITORY), destination, data=answers, defaults=True, vcs_ref="HEAD", quiet=True)
    git = ["git", "-C", str(destination), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=new"]):
        subprocess.run([*git, *command], check=True)
    return Service(destination)


@dataclass
class Service:
    path: Path
    app_port: int = field(default_factory=free_port)
    mock_port: int = field(default_factory=free_port)
    client_key: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.app_port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a shell, with unused ports and without settings of the service.

        Tests of the service get one worker: another service is tested at the same time.
        """
        foreign = ("OPENAI_", "ANTHROPIC_", "REDIS_URL", "VIRTUAL_ENV", "PYTHON", "PYTEST", "MAKE")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        ports = {"APP_PORT": str(self.app_port), "MOCK_PORT": str(self.mock_port)}
        return {**clean, **ports, "PYTEST_XDIST_AUTO_NUM_WORKERS": "1"}

    def restore(self) -> "Service":
        """Undo every change since the last commit, except to `.venv`, which works only at this path."""
        git = ["git", "-C", str(self.path)]
        subprocess.run([*git, "reset", "--quiet", "--hard"], check=True)
        subprocess.run([*git, "clean", "-ffdxq", "--exclude=.venv"], check=True)
        return self

    def run(self, *command: str, timeout: float = 900) -> str:
        """The output of the command; if the command fails, the error shows its output."""
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{command} exited with {done.returncode}:\n{done.stdout}"
        return done.stdout

    @contextmanager
    def running(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """The command in the background, in a session of its own, its output in a file."""
        with (self.path.parent / "output.txt").open("w") as output:
            process = subprocess.Popen(
                command,
                cwd=self.path,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                if process.poll() is None:
                    press_ctrl_c(process)

    @property
    def output(self) -> str:
        return (self.path.parent / "output.txt").read_text()

    def ask(self, text: str = "Hello", **more: object) -> dict[str, Any]:
        return self.post("/v1/chat", {"messages": [{"role": "user", "content": text}], **more})

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json", "x-api-key": self.client_key},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def status_of(self, path: str) -> int:
        """The HTTP status, or 0 when no server answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_until_healthy(self, process: subprocess.Popen[str], timeout: float = 120) -> None:
        deadline = time.monotonic() + timeout
        while self.status_of("/healthz") != 200:
            assert process.poll() is None, f"ended with {process.returncode}:\n{self.output}"
            assert time.monotonic() < deadline, f"not healthy after {timeout} s:\n{self.output}"
            time.sleep(0.05)

    def edit_a_route(self, word: str) -> float:
        """Make `/healthz` answer at a new path, and return the seconds until it is served.

        The earlier version is served again at the end: what follows would meet its reload.
        """
        route = self.path / "src/app/api/health.py"
        source = route.read_text()
        assert '"/healthz"' in source
        route.write_text(source.replace('"/healthz"', f'"/healthz-{word}"'))
        saved = time.monotonic()
        while self.status_of(f"/healthz-{word}") != 200:
            assert time.monotonic() - saved < 30, "the edit was never served"
            time.sleep(0.01)
        elapsed = time.monotonic() - saved
        route.write_text(source)
        wait_until(lambda: self.status_of("/healthz") == 200)
        return elapsed


def press_ctrl_c(process: subprocess.Popen[str], timeout: float = 60) -> int:
    """As a terminal does it: to the command and to everything that it runs in the foreground."""
    os.killpg(process.pid, signal.SIGINT)
    return process.wait(timeout)


def wait_until(condition: Callable[[], bool], timeout: float = 30) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout} s"
        time.sleep(0.1)
