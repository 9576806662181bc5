"""Compares the search with its necessary parts: one matrix product, and finding the largest.

Both run in turn on the same numbers, and the fastest round of each counts. A hundred of the vectors
exist twice or more, so that the order of equal scores is tested too.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np

from app.rag.vectors import Nearest, Vectors, cosine, normalised, top_k
from scripts.bench.figure import Figure

VECTORS = 100_000
DIMENSION = 768
QUERIES = 32
K = 10
ROUNDS = 7
LIMIT = 1.3


def what_a_search_costs() -> Iterator[Figure]:
    queries, vectors = _data()
    bare_s, search_s = _quickest(
        lambda: _bare(queries, vectors), lambda: top_k(queries, vectors, K)
    )
    yield Figure("matrix product and argpartition, 32 queries", bare_s * 1000, "ms")
    yield Figure("top 10 of 100,000 vectors, 32 queries", search_s * 1000, "ms")
    yield Figure("the search, to the bare product", search_s / bare_s, "x", LIMIT)
    yield Figure("rows unlike brute force", _mistakes(queries, vectors), "", 0.5)


def _data() -> tuple[Vectors, Vectors]:
    random = np.random.default_rng(7)
    vectors = normalised(random.standard_normal((VECTORS, DIMENSION), dtype=np.float32))
    queries = normalised(random.standard_normal((QUERIES, DIMENSION), dtype=np.float32))
    for query in queries:  # three copies of the best vector, and of the tenth
        best = top_k(query[np.newaxis], vectors, K).rows[0]
        for row in (best[0], best[-1]):
            vectors[random.integers(0, VECTORS, 3)] = vectors[row]
    return queries, vectors


def _bare(queries: Vectors, vectors: Vectors) -> None:
    np.argpartition(queries @ vectors.T, -K, axis=1)


def _quickest(*calls: Callable[[], object]) -> list[float]:
    seconds = [[_seconds(call) for call in calls] for _ in range(ROUNDS)]
    return [min(rounds) for rounds in zip(*seconds, strict=True)]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _mistakes(queries: Vectors, vectors: Vectors) -> int:
    found = top_k(queries, vectors, K)
    expected = [_brute_force(query, vectors) for query in queries]
    rows = np.stack([each.rows for each in expected])
    scores = np.stack([each.scores for each in expected])
    return int(((found.rows != rows) | (found.scores != scores)).sum())


def _brute_force(query: Vectors, vectors: Vectors) -> Nearest:
    """Score each vector by itself, and sort all of them."""
    blocks = [cosine(query, vectors[row : row + 1000]) for row in range(0, VECTORS, 1000)]
    scores = np.concatenate(blocks)
    best = np.lexsort((np.arange(VECTORS), -scores))[:K]
    return Nearest(best, scores[best])
