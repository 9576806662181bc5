"""Compares the stores of vectors: memory, the vector sets of Redis, and Postgres with pgvector.

Each store has a process of its own, which imports the service, indexes a folder of texts of 1,200
characters, and searches. Its vectors come from a file: mixtures of normal distributions around 200
centres, with a fixed seed. Real embeddings have more structure than these; measure the recall with
yours. The time of a search is that of the library without embedding the question.

`REDIS_TEST_URL` and `POSTGRES_TEST_URL` name servers to use in place of containers, `CHUNKS` is another
number of texts, and `STORES` are some of the stores: CHUNKS=100000 STORES=redis,postgres.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles

import numpy as np

from app.rag.vectors import Vectors, normalised
from scripts.bench import store_servers
from scripts.bench.figure import Figure

CHUNKS = int(os.environ.get("CHUNKS", "10000"))
STORES = os.environ.get("STORES", "memory,redis,postgres").split(",")
SERVERS = {"redis": store_servers.redis, "postgres": store_servers.postgres}
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
    with tempfile.TemporaryDirectory() as directory:
        exact = _write(Path(directory))
        for store in STORES:
            yield from _of(store, exact, Path(directory))


def _write(directory: Path) -> list[set[int]]:
    """Write the folder and the vectors. Return the nearest texts of each question."""
    vectors = _vectors()
    _write_files(directory, vectors)
    return _nearest(vectors)


def _of(store: str, exact: list[set[int]], directory: Path) -> Iterator[Figure]:
    if store == "memory":
        yield from _figures(store, exact, directory, None, limits=False)
        return
    with SERVERS[store]() as url:
        if url is None:
            print(f"stores: no figures of {store}: needs Docker or {store.upper()}_TEST_URL")
        else:
            yield from _figures(store, exact, directory, url, limits=True)


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
    if measured["server_mb"] is not None:
        yield Figure(f"{name}: in the server", measured["server_mb"], "MB")


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


def _write_files(directory: Path, vectors: Vectors) -> None:
    """A folder with a text for each vector, which begins with its number, and the vectors."""
    (directory / "vectors").write_bytes(vectors.tobytes())
    folder = directory / "docs"
    folder.mkdir()
    for row in range(CHUNKS):
        words = f"{row} " + f"word{row} " * CHARS
        (folder / f"{row:07}.md").write_text(words[:CHARS])
