"""Several processes serve one port; the parent replaces and stops them."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import httpx2
import orjson
import pytest

WORKERS = 2
_FAILING = """
import sys
from app.workers import Workers
sys.exit(Workers(2, lambda _: [], lambda index, _: sys.exit(3) if index else __import__("time").sleep(60)).run())
"""


class Service:
    """A running service, and the log lines that it has written so far."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    def until(self, event: str, times: int = 1) -> list[Mapping[str, object]]:
        """Read the log until it has an event so many times; return these lines."""
        assert self.process.stdout is not None
        found: list[Mapping[str, object]] = []
        for line in self.process.stdout:
            parsed = orjson.loads(line)
            if parsed["event"] == event:
                found.append(parsed)
            if len(found) == times:
                return found
        raise AssertionError(f"the service ended after {found}")


@contextmanager
def served(admin_port: int) -> Iterator[tuple[Service, list[int]]]:
    """A service with two workers, and their process ids. No Redis answers: each keeps to its share."""
    port = free_ports(1)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": "src",
        "PORT": str(port),
        "ADMIN_PORT": str(admin_port),
        "WORKERS": str(WORKERS),
        "REDIS_URL": "redis://127.0.0.1:1",
        "LOG_FORMAT": "json",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "app"], env=environment, stdout=subprocess.PIPE
    )
    service = Service(process, port)
    try:
        started = service.until("worker.started", WORKERS)
        service.until("service.ready", WORKERS)
        yield service, [int(str(line["process"])) for line in started]
    finally:
        process.kill()
        process.communicate()


def free_ports(count: int) -> int:
    """The first of so many free ports in a row."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                for following in range(port + 1, port + count):
                    socket.create_server(("127.0.0.1", following)).close()
            except OSError:
                continue
            return port


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def requests_of(admin_port: int) -> float:
    """The requests that one worker has answered, from its own metrics."""
    text = httpx2.get(f"http://127.0.0.1:{admin_port}/metrics", trust_env=False).text
    counts = re.findall(r'^http_requests_total\{.*route="/healthz".*\} (\S+)$', text, re.MULTILINE)
    return sum(map(float, counts))


@pytest.mark.slow
def test_connections_are_spread_over_the_workers_and_each_has_its_own_metrics() -> None:
    admin_port = free_ports(WORKERS)
    with served(admin_port) as (service, _):
        for _ in range(40):
            assert httpx2.get(f"{service.url}/healthz", trust_env=False).status_code == 200
        counts = [requests_of(admin_port + index) for index in range(WORKERS)]
    assert sum(counts) == 40
    assert min(counts) > 0  # the chance that one gets all of them is 2 in 10^12


@pytest.mark.slow
def test_a_killed_worker_is_replaced() -> None:
    admin_port = free_ports(WORKERS)
    with served(admin_port) as (service, (first, second)):
        time.sleep(5)  # a worker that ends earlier would fail again, and ends the service
        os.kill(first, signal.SIGKILL)
        (ended,) = service.until("worker.ended")
        assert (ended["process"], ended["exit_code"]) == (first, -signal.SIGKILL)
        service.until("service.ready")
        assert is_running(second)
        assert requests_of(admin_port) == 0  # the new one has the number of the old one
        assert httpx2.get(f"{service.url}/healthz", trust_env=False).status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_parent_stops_all_workers(number: signal.Signals) -> None:
    with served(free_ports(WORKERS)) as (service, workers):
        service.process.send_signal(number)
        service.until("service.stopped", WORKERS)
        assert service.process.wait(30) == 0
        assert not any(map(is_running, workers))


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed() -> None:
    with served(free_ports(WORKERS)) as (service, workers):
        service.process.kill()
        assert eventually(lambda: not any(map(is_running, workers)))


@pytest.mark.slow
def test_a_worker_that_fails_at_its_start_ends_the_service_with_its_code() -> None:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "src"}
    ended = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _FAILING],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 3


@pytest.mark.slow
def test_reload_with_several_workers_is_refused() -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": "src",
        "PORT": "0",
        "WORKERS": "2",
        "REDIS_URL": "redis://127.0.0.1:1",
    }
    refused = subprocess.run(
        [sys.executable, "-m", "app", "--reload"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert "set WORKERS to 1" in refused.stderr
