"""Compares the stores of vectors: memory, and the vector sets of a Redis that a container runs.

Each store has a process of its own, which imports the service, indexes a folder of texts of 1,200
characters, and searches. Its vectors come from a file: mixtures of normal distributions around 200
centres, with a fixed seed. Real embeddings have more structure than these; measure the recall with
yours. The time of a search is that of the library without embedding the question.

`REDIS_TEST_URL` names a Redis 8 to use in place of a container, and `CHUNKS` another number of texts.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from statistics import quantiles

import numpy as np

from app.rag.vectors import Vectors, normalised
from scripts.bench.figure import Figure

CHUNKS = int(os.environ.get("CHUNKS", "10000"))
DIMENSION = 768
CENTRES = 200
SPREAD = 0.7
QUESTIONS = 300
K = 10
CHARS = 1150  # a chunk has 1,200 at most
P95_MS = 20.0
SERVICE_MB = 120.0
MISSED = 0.05


def what_stores_cost() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory, _redis() as url:
        vectors = _vectors()
        _write(Path(directory), vectors)
        exact = _nearest(vectors)
        yield from _figures("memory", exact, Path(directory), None, limits=False)
        if url is None:
            print("stores: no figures of Redis, which needs Docker or REDIS_TEST_URL")
            return
        yield from _figures("redis", exact, Path(directory), url, limits=True)


def _figures(
    store: str, exact: list[set[int]], directory: Path, url: str | None, *, limits: bool
) -> Iterator[Figure]:
    command = [sys.executable, "-m", "scripts.bench.store_process", store, str(directory)]
    run = subprocess.run(
        [*command, str(DIMENSION), str(CHUNKS), str(K), url or ""],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "src"},
    )
    if run.returncode != 0:
        sys.exit(f"make bench: the process of the store {store} failed: {run.stderr}")
    measured = json.loads(run.stdout.splitlines()[-1])
    seconds = quantiles(measured["seconds"], n=20)
    hits = sum(len(one & set(two)) for one, two in zip(exact, measured["found"], strict=True))
    name = f"{store}, {CHUNKS} chunks of {DIMENSION}"
    yield Figure(f"{name}: build", measured["build_s"], "s")
    yield Figure(f"{name}: a search, p50", seconds[9] * 1000, "ms")
    yield Figure(f"{name}: a search, p95", seconds[18] * 1000, "ms", P95_MS if limits else None)
    yield Figure(f"{name}: nearest chunks missed", 1 - hits / (K * len(exact)), "", MISSED)
    yield Figure(
        f"{name}: service, peak", measured["peak_mb"], "MB", SERVICE_MB if limits else None
    )
    if measured["redis_mb"] is not None:
        yield Figure(f"{name}: Redis", measured["redis_mb"], "MB")


def _vectors() -> Vectors:
    random = np.random.default_rng(7)
    count = CHUNKS + QUESTIONS
    centres = random.standard_normal((CENTRES, DIMENSION), dtype=np.float32)
    noise = SPREAD * random.standard_normal((count, DIMENSION), dtype=np.float32)
    mixed: Vectors = (centres[random.integers(0, CENTRES, count)] + noise).astype(np.float32)
    return normalised(mixed)


def _nearest(vectors: Vectors) -> list[set[int]]:
    scores = vectors[CHUNKS:] @ vectors[:CHUNKS].T
    return [set(row.tolist()) for row in np.argpartition(-scores, K, axis=1)[:, :K]]


def _write(directory: Path, vectors: Vectors) -> None:
    """A folder with a text for each vector, which begins with its number, and the vectors."""
    (directory / "vectors").write_bytes(vectors.tobytes())
    folder = directory / "docs"
    folder.mkdir()
    for row in range(CHUNKS):
        words = f"{row} " + f"word{row} " * CHARS
        (folder / f"{row:07}.md").write_text(words[:CHARS])


@contextmanager
def _redis() -> Iterator[str | None]:
    """The address of a Redis 8: that of the environment, or of a container for the benchmark."""
    if given := os.environ.get("REDIS_TEST_URL"):
        yield given
        return
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run([docker, "info"], check=False, capture_output=True).returncode
    ):
        yield None
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    name, publish = f"bench-{token_hex(4)}", f"--publish=127.0.0.1:{port}:6379"
    subprocess.run(
        [docker, "run", "--rm", "--detach", f"--name={name}", publish, "redis:8-alpine"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        subprocess.run([docker, "rm", "--force", name], check=True, stdout=subprocess.DEVNULL)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as client:
            client.settimeout(1)
            try:
                client.connect(("127.0.0.1", port))
                client.sendall(b"PING\r\n")
                if client.recv(5) == b"+PONG":
                    return
            except OSError:
                time.sleep(0.1)
    sys.exit("make bench: the Redis of the container does not answer")
