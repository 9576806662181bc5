"""`make dev` without Docker: starts the mock API and the service, both with reload, and stops both.

They start in order, each in its own process group. When one of them ends, or this program is
stopped, the other one is stopped too, so no process is left behind.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from app.configuration.env_file import variables_in
from app.configuration.plain_value import Flawed, plain
from app.configuration.refusal import EX_CONFIG
from app.configuration.text_file import SourceError

HOST = "127.0.0.1"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
# A proxy in HTTP_PROXY cannot reach this machine's own addresses.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Stop(Exception):  # noqa: N818 - a request, not an error
    """A request to stop: Ctrl-C, `kill`, or a closed terminal."""


def main() -> int:
    try:
        variables = {**variables_in(Path(".env")), **os.environ}
    except SourceError as error:
        return refused(str(error))
    app_port, mock_port = port(variables, "APP_PORT", 8000), port(variables, "MOCK_PORT", 9000)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        return run(app_port, mock_port, variables)
    except Stop:
        return 0


def run(app_port: int, mock_port: int, variables: Mapping[str, str | None]) -> int:
    """Start both, print their addresses, and wait until one of them ends; return its exit code."""
    mock = f"http://{HOST}:{mock_port}"
    urls = {"OPENAI_BASE_URL": f"{mock}/v1", "ANTHROPIC_BASE_URL": mock}
    chosen = {name: variables.get(name) or url for name, url in urls.items()}
    if refusal := checked(chosen):
        return refusal
    with ExitStack() as running:
        processes = [
            start("mock_api", mock_port, {}, running),
            start("app", app_port, chosen, running),
        ]
        debugged = variables.get("DEBUG_PORT")
        addresses = [f"{HOST}:{each}" for each in (app_port, mock_port, debugged) if each]
        subprocess.run(["sh", "scripts/where.sh", *addresses], check=True)
        while all(process.poll() is None for process in processes):
            time.sleep(0.2)
        return next(code for process in processes if (code := process.poll()) is not None) or 1


def checked(more: Mapping[str, str]) -> int:
    """Check the settings before anything starts; the check prints what is wrong. Its exit code."""
    command = [sys.executable, "-m", "app", "config", "--check"]
    environment = {**os.environ, **more}
    return subprocess.run(
        command, env=environment, stdout=subprocess.DEVNULL, check=False
    ).returncode


def start(
    module: str, port: int, more: Mapping[str, str], running: ExitStack
) -> subprocess.Popen[bytes]:
    """Start a program and return when it is healthy; `running` stops it at the end."""
    environment = {**os.environ, **more, "HOST": HOST, "PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--reload"], env=environment, start_new_session=True
    )
    running.callback(end, process)
    deadline = time.monotonic() + START_TIMEOUT_S
    while not healthy(port):
        if process.poll() is not None:
            sys.exit(process.returncode)  # the program has printed the reason
        if time.monotonic() > deadline:
            sys.exit(f"make dev: {module} is not healthy after {START_TIMEOUT_S:.0f} s")
        time.sleep(0.05)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Stop the whole process group: the reloader and the program that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(STOP_TIMEOUT_S)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def port(variables: Mapping[str, str | None], name: str, usual: int) -> int:
    """The port in a variable; an invalid one ends the program with one line."""
    value = plain(variables.get(name) or "") or str(usual)
    if isinstance(value, Flawed):
        sys.exit(refused(f"{name}: {value.why}"))
    if not re.fullmatch("[0-9]{1,5}", value) or not 0 < int(value) < 65536:  # noqa: PLR2004
        sys.exit(refused(f"{name}={value} is not a port; choose one from 1 to 65535"))
    if answers(int(value)):
        sys.exit(
            f"make dev: port {value} is in use; choose another: {name}={int(value) + 10} make dev"
        )
    return int(value)


def refused(why: str) -> int:
    print(f"make dev: {why}", file=sys.stderr)
    return EX_CONFIG


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def healthy(port: int) -> bool:
    try:
        with DIRECT.open(f"http://{HOST}:{port}/healthz", timeout=1) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except OSError:
        return False


def stop(_number: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleanup
    raise Stop


if __name__ == "__main__":
    sys.exit(main())
