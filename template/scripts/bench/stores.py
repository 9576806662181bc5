"""Compares the stores of vectors: memory, the vector sets of Redis, and Postgres with pgvector.

For each store, a process builds the index of a folder of texts of 1,200 characters, and then another
one searches: both import the service. The vectors come from a file: mixtures of normal distributions
around 200 centres, with a fixed seed. Real embeddings have more structure than these; measure the
recall with yours. The time of a search is that of the library without embedding the question.

The environment chooses: CHUNKS=100000 DIMENSION=768 STORES=redis,postgres. `REDIS_TEST_URL` and
`POSTGRES_TEST_URL` name servers to use in place of containers; they keep the index, so that the next
run with the same numbers only searches.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import quantiles
from typing import Any

import numpy as np

from app.rag.vectors import Vectors, normalised
from scripts.bench import store_servers
from scripts.bench.figure import Figure

CHUNKS = int(os.environ.get("CHUNKS", "10000"))
STORES = os.environ.get("STORES", "memory,redis,postgres").split(",")
SERVERS = {"redis": store_servers.redis, "postgres": store_servers.postgres}
DIMENSION = int(os.environ.get("DIMENSION", "768"))
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
    name = f"{store}, {CHUNKS} x {DIMENSION}"
    yield from _of_build(name, _run("build", store, directory, url))
    searched = _run("search", store, directory, url)
    seconds = quantiles(searched["seconds"], n=20)
    hits = sum(len(one & set(two)) for one, two in zip(exact, searched["found"], strict=True))
    yield Figure(f"{name}: a search, p50", seconds[9] * 1000, "ms")
    yield Figure(f"{name}: a search, p95", seconds[18] * 1000, "ms", P95_MS if limits else None)
    yield Figure(f"{name}: load of the machine meanwhile", searched["load"], "")
    yield Figure(f"{name}: CPU of the service", searched["cpu_ms"], "ms")
    if searched["refused"]:
        yield Figure(f"{name}: searches refused", searched["refused"], "")
    if "idle_seconds" in searched:
        idle = quantiles(searched["idle_seconds"], n=20)
        yield Figure(f"{name}: PING or SELECT 1, p50", idle[9] * 1000, "ms")
        yield Figure(f"{name}: PING or SELECT 1, p95", idle[18] * 1000, "ms")
    for unit, what, value in _SERVER:
        if value in searched:
            yield Figure(f"{name}: {what}", searched[value], unit)
    yield Figure(f"{name}: nearest chunks missed", 1 - hits / (K * len(exact)), "", MISSED)
    limit = SERVICE_MB if limits else None
    yield Figure(f"{name}: service, after the searches", searched["resident_mb"], "MB", limit)
    yield Figure(f"{name}: service, peak", searched["peak_mb"], "MB", limit)


_SERVER = (
    ("ms", "a search, by the server's clock", "server_ms"),
    ("", "round trips of a search", "round_trips"),
    ("B", "bytes to the server", "sent_bytes"),
    ("B", "bytes back", "received_bytes"),
    ("MB", "in the server", "server_mb"),
)


def _of_build(name: str, built: Mapping[str, Any]) -> Iterator[Figure]:
    """Without vectors that the server had from an earlier run: less is built."""
    yield Figure(f"{name}: build of {built['embedded']} texts", built["build_s"], "s")
    yield Figure(f"{name}: building process, peak", built["peak_mb"], "MB")


def _run(action: str, store: str, directory: Path, url: str | None) -> Mapping[str, Any]:
    task = {
        "action": action,
        "store": store,
        "directory": str(directory),
        "url": url or "",
        "prefix": f"bench-{CHUNKS}x{DIMENSION}",
        "dimension": DIMENSION,
        "chunks": CHUNKS,
        "questions": QUESTIONS,
        "k": K,
    }
    run = subprocess.run(
        [sys.executable, "-m", "scripts.bench.store_process", json.dumps(task)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "src"},
    )
    if run.returncode != 0:
        sys.exit(f"make bench: the process of the store {store} failed: {run.stderr}")
    measured: Mapping[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return measured


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
    """A folder with a text for each vector, which begins with its number, and the vectors.

    As prose, the texts can be compressed to about half of their length.
    """
    (directory / "vectors").write_bytes(vectors.tobytes())
    folder = directory / "docs"
    folder.mkdir()
    random = np.random.default_rng(7)
    for row in range(CHUNKS):
        words = f"{row} {random.bytes(CHARS // 4).hex(' ', 3)} {'is the word ' * CHARS}"
        (folder / f"{row:07}.md").write_text(words[:CHARS])
