"""`make dev` without Docker: the mock API and the service, both with reload, as one thing.

They start in order, each in a process group of its own; when one ends, or when this program is told
to stop, the other is stopped as well, so nothing is left behind.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from types import FrameType

from dotenv import dotenv_values

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0


class Stop(Exception):
    """Somebody asked for the end: Ctrl-C, `kill`, or a closed terminal."""


def main() -> int:
    variables = {**dotenv_values(".env"), **os.environ}
    app_port, mock_port = port(variables, "APP_PORT", 8000), port(variables, "MOCK_PORT", 9000)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return run(app_port, mock_port, variables)
    except Stop:
        return 0


def run(app_port: int, mock_port: int, variables: Mapping[str, str | None]) -> int:
    """Start both, say where they are, and wait for the first to end; its exit code is ours."""
    mock = f"http://{HOST}:{mock_port}"
    urls = {"OPENAI_BASE_URL": f"{mock}/v1", "ANTHROPIC_BASE_URL": mock}
    chosen = {name: variables.get(name) or url for name, url in urls.items()}
    with ExitStack() as running:
        processes = [
            start("mock_api", mock_port, {}, running),
            start("app", app_port, chosen, running),
        ]
        subprocess.run(
            ["sh", "scripts/where.sh", f"{HOST}:{app_port}", f"{HOST}:{mock_port}"], check=True
        )
        while all(process.poll() is None for process in processes):
            time.sleep(0.2)
        return next(code for process in processes if (code := process.poll()) is not None) or 1


def start(
    module: str, port: int, more: Mapping[str, str], running: ExitStack
) -> subprocess.Popen[bytes]:
    """Start one program and return once it is healthy; `running` stops it in the end."""
    environment = {**os.environ, **more, "HOST": HOST, "PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--reload"], env=environment, start_new_session=True
    )
    running.callback(end, process)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not healthy(port):
        if process.poll() is not None:
            sys.exit(process.returncode)  # it has said why
        if time.monotonic() > deadline:
            sys.exit(f"make dev: {module} is not healthy after {START_TIMEOUT_S:.0f} s")
        time.sleep(0.05)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop the whole group: the reloader and the program that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_TIMEOUT_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def port(variables: Mapping[str, str | None], name: str, usual: int) -> int:
    """The port that a variable names, refused in one line when it cannot be used."""
    value = variables.get(name) or str(usual)
    if not value.isdecimal() or not 0 < int(value) < 65536:  # noqa: PLR2004
        sys.exit(f"make dev: {name}={value} is not a port; choose one from 1 to 65535")
    if answers(int(value)):
        sys.exit(
            f"make dev: port {value} is in use; choose another: {name}={int(value) + 10} make dev"
        )
    return int(value)


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except OSError:
        return False


def stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave the job half done
    raise Stop


if __name__ == "__main__":
    sys.exit(main())
