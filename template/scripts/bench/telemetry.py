"""Measures the CPU time of logs and metrics: the service per request, with them and without.

The same service runs with and without them, in separate processes, with the same mock API. Both
answer in short turns, so that other load on the machine affects both: a busy neighbour empties the
processor's caches and slows down all code. Each turn is compared with the turn next to it, and the
median of these comparisons counts. Two processes of the same program differ by some percent,
depending on their memory layout, so there are several of each.
"""

import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import httpx2

from scripts.bench.figure import Figure

STARTS = 4
ROUNDS = 25
REQUESTS = 50
WARM_UP = 3
CONCURRENCY = 4
START_S = 30.0
LIMIT_PERCENT = 15.0


def share_of_a_request() -> Iterator[Figure]:
    seeing_ms: list[float] = []
    blind_ms: list[float] = []
    with running("mock_api") as mock:
        for _ in range(STARTS):
            with (
                running("scripts.bench.service", "with", mock=mock) as seeing,
                running("scripts.bench.service", "without", mock=mock) as blind,
            ):
                rounds = rounds_ms(seeing, blind)
            seeing_ms += rounds[0]
            blind_ms += rounds[1]
    yield Figure("/v1/chat without logs and metrics, CPU", statistics.median(blind_ms), "ms")
    yield Figure("/v1/chat with logs and metrics, CPU", statistics.median(seeing_ms), "ms")
    share = share_percent(seeing_ms, blind_ms)
    yield Figure("logs and metrics, of the request", share, "%", LIMIT_PERCENT)


def share_percent(dear_ms: list[float], cheap_ms: list[float]) -> float:
    """The difference as a share of the expensive one: the median over neighbouring rounds."""
    pairs = zip(dear_ms, cheap_ms, strict=True)
    return statistics.median((dear - cheap) / dear * 100 for dear, cheap in pairs)


def rounds_ms(*services: str) -> list[list[float]]:
    """The CPU time per request of each of these services, in milliseconds, round by round."""
    return asyncio.run(_measure(*services))


async def _measure(*services: str) -> list[list[float]]:
    costs_ms: list[list[float]] = [[] for _ in services]
    turns = list(zip(services, costs_ms, strict=True))
    # Both are on this machine, and a proxy cannot reach them.
    async with httpx2.AsyncClient(timeout=30, trust_env=False) as client:
        for number in range(WARM_UP + ROUNDS):
            turns.reverse()  # the first one finds other CPU caches than the second one
            for service, rounds in turns:
                rounds.append(await _round(client, service, number) * 1000)
    return [rounds[WARM_UP:] for rounds in costs_ms]


async def _round(client: httpx2.AsyncClient, service: str, number: int) -> float:
    """The CPU seconds per request of one round."""
    before = await _cpu_s(client, service)
    questions = iter([f"Question {number}.{index}" for index in range(REQUESTS)])

    async def ask() -> None:
        for question in questions:  # all different, so that none is answered from the cache
            body = {"messages": [{"role": "user", "content": question}]}
            (await client.post(f"{service}/v1/chat", json=body)).raise_for_status()

    await asyncio.gather(*(ask() for _ in range(CONCURRENCY)))
    return (await _cpu_s(client, service) - before) / REQUESTS


async def _cpu_s(client: httpx2.AsyncClient, service: str) -> float:
    return float((await client.get(f"{service}/_cpu")).text)


@contextmanager
def running(module: str, *arguments: str, mock: str = "", **more: str) -> Iterator[str]:
    """Run a program on a free port, and yield its address."""
    with launched([sys.executable, "-m", module, *arguments], mock, more) as address:
        yield address


@contextmanager
def launched(
    command: Sequence[str], mock: str, more: Mapping[str, str], start_s: float = START_S
) -> Iterator[str]:
    """Run a command that serves on `PORT`, and yield its address when it accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": "src",
        "PYTHONHASHSEED": "0",  # otherwise a dictionary may have collisions in one process only
        "PORT": str(port),
        "OPENAI_BASE_URL": f"{mock}/v1",
        "ANTHROPIC_BASE_URL": mock,
        "RATE_LIMIT_REQUESTS_PER_MINUTE": "1000000",  # with the default, this would take an hour
        **more,
    }
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)
        try:
            if not _answers(process, port, start_s):
                said.seek(0)
                sys.exit(f"make bench: {' '.join(command)} did not start\n{said.read().decode()}")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


def _answers(process: subprocess.Popen[bytes], port: int, start_s: float) -> bool:
    deadline = time.monotonic() + start_s
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False
