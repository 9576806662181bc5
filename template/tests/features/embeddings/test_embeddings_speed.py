"""A batch takes about as long as one call: over HTTP, each server in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[2]
LATENCY_MS = 100


@contextmanager
def serving(module: str, port: int, **variables: str) -> Iterator[httpx2.Client]:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        "PORT": str(port),
        **variables,
    }
    quiet = subprocess.DEVNULL
    with (
        subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", module], env=environment, stdout=quiet, stderr=quiet
        ) as process,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as client,
    ):
        try:
            _wait_for(client)
            yield client
        finally:
            process.kill()


def _wait_for(client: httpx2.Client) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            client.get("/healthz")
        except httpx2.ConnectError:
            assert time.monotonic() < deadline, "it did not start"
            time.sleep(0.02)
        else:
            return


def seconds(service: httpx2.Client, texts: list[str]) -> float:
    began = time.perf_counter()
    answer = service.post("/v1/embeddings", json={"texts": texts})
    took = time.perf_counter() - began
    assert [item["error"] for item in answer.json()["items"]] == [None] * len(texts)
    return took


@pytest.mark.slow
def test_a_hundred_texts_take_at_most_half_as_long_again_as_one(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    texts = [f"The document with the number {number}" for number in range(100)]
    mock_port, port = unused_tcp_port_factory(), unused_tcp_port_factory()
    url = f"http://127.0.0.1:{mock_port}/v1"
    with (
        serving("mock_api", mock_port) as mock,
        serving("app", port, OPENAI_BASE_URL=url) as service,
    ):
        mock.put("/_mock/faults", json={"latency_ms": LATENCY_MS})
        one = min(seconds(service, texts[:1]) for _ in range(10))
        hundred = min(seconds(service, texts) for _ in range(10))
    assert one > LATENCY_MS / 1000
    assert hundred / one < 1.5, f"{hundred * 1000:.0f} ms instead of {one * 1000:.0f} ms"
