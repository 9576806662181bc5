"""What logs and metrics cost: the CPU time of the service per request, with them and without.

The same service runs twice, each in a process of its own, before the same mock API. Both answer in
turns, so that whatever else happens on the machine happens to both, and of each its quietest rounds
count: a busy neighbour empties the processor's caches, which is nobody's cost here.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2

from scripts.bench.figure import Figure

ROUNDS = 20
REQUESTS = 100
CONCURRENCY = 4
START_S = 30.0
LIMIT_PERCENT = 15.0


def share_of_a_request() -> Iterator[Figure]:
    with (
        running("mock_api") as mock,
        running("scripts.bench.service", "with", mock=mock) as seeing,
        running("scripts.bench.service", "without", mock=mock) as blind,
    ):
        with_ms, without_ms = cpu_ms(seeing, blind)
    yield Figure("/v1/chat without logs and metrics, CPU", without_ms, "ms")
    yield Figure("/v1/chat with logs and metrics, CPU", with_ms, "ms")
    share = (with_ms - without_ms) / with_ms * 100
    yield Figure("logs and metrics, of the request", share, "%", LIMIT_PERCENT)


def cpu_ms(*services: str) -> list[float]:
    """What a request costs each of these services, in milliseconds of CPU."""
    return [_quietest(rounds) * 1000 for rounds in asyncio.run(_measure(*services))]


def _quietest(rounds: list[float]) -> float:
    return statistics.mean(sorted(rounds)[: len(rounds) // 4])


async def _measure(*services: str) -> list[list[float]]:
    """The seconds of CPU per request of each service, round by round."""
    costs: list[list[float]] = [[] for _ in services]
    async with httpx2.AsyncClient(timeout=30) as client:
        for number in range(ROUNDS + 1):
            for service, rounds in zip(services, costs, strict=True):
                rounds.append(await _round(client, service, number))
    return [rounds[1:] for rounds in costs]  # the first one warms up


async def _round(client: httpx2.AsyncClient, service: str, number: int) -> float:
    before = await _cpu_s(client, service)
    questions = iter([f"Question {number}.{index}" for index in range(REQUESTS)])

    async def ask() -> None:
        for question in questions:  # each its own, so that none is answered from the cache
            body = {"messages": [{"role": "user", "content": question}]}
            (await client.post(f"{service}/v1/chat", json=body)).raise_for_status()

    await asyncio.gather(*(ask() for _ in range(CONCURRENCY)))
    return (await _cpu_s(client, service) - before) / REQUESTS


async def _cpu_s(client: httpx2.AsyncClient, service: str) -> float:
    return float((await client.get(f"{service}/_cpu")).text)


@contextmanager
def running(module: str, *arguments: str, mock: str = "", **more: str) -> Iterator[str]:
    """Run a program on a free port; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": "src",
        "PORT": str(port),
        "OPENAI_BASE_URL": f"{mock}/v1",
        "ANTHROPIC_BASE_URL": mock,
        "RATE_LIMIT_REQUESTS_PER_MINUTE": "1000000",  # the default would make this take an hour
        **more,
    }
    command = [sys.executable, "-m", module, *arguments]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        try:
            if not _answers(process, port):
                said.seek(0)
                sys.exit(f"make bench: {module} did not start\n{said.read().decode()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False
