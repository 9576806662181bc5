"""Arithmetic on embeddings: many vectors at once, as the rows of one array of 32-bit numbers.

In the shapes below, n is a number of vectors, q of questions, and d the dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

# How many rows are looked at in double precision at a time: with 3,072 numbers, 100 MB.
_BLOCK = 4096


class BadVectors(ValueError):
    """What cannot be calculated with: ragged, not finite, or of another dimension."""


def checked(rows: Vectors | Sequence[Sequence[float]], *, dimension: int | None = None) -> Vectors:
    """Take rows of numbers as vectors, (n, d). What is float32 already is not copied.

    Raises `BadVectors` when they are not of one length, of `dimension` if given, and finite.
    """
    try:
        with np.errstate(over="ignore"):  # what is too large for a float32 is not finite, below
            vectors = np.asarray(rows, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise BadVectors("not rows of numbers, all of one length") from error
    if vectors.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise BadVectors(f"rows of numbers are expected, not {vectors.ndim} dimensions of them")
    if dimension is not None:
        _same_dimension(vectors.shape[1], dimension)
    _finite(vectors)
    return vectors


def normalised(vectors: Vectors) -> Vectors:
    """Give each vector the length 1: (n, d) → (n, d). A vector of zeros stays what it is.

    Lengths are calculated in double precision, where no square of a float32 is too large or small.
    """
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    lengths = np.sqrt(squares, out=squares)
    lengths[lengths == 0] = 1
    # Divided in double precision, piece by piece: the only array of n rows is the result.
    units: Vectors = np.empty_like(vectors)
    np.divide(vectors, lengths[:, np.newaxis], out=units, casting="same_kind")
    return units


def cosine(queries: Vectors, vectors: Vectors) -> Vectors:
    """The cosine of each pair: (q, d), (n, d) → (q, n), from -1 to 1; 0 for a vector of zeros."""
    _same_dimension(queries.shape[1], vectors.shape[1])
    product: Vectors = normalised(queries) @ normalised(vectors).T
    return np.clip(product, -1, 1, out=product)


@dataclass(frozen=True, slots=True)
class Nearest:
    """For each question the rows of its nearest vectors, best first, and their scores: (q, k)."""

    rows: npt.NDArray[np.intp]
    scores: Vectors


def top_k(queries: Vectors, vectors: Vectors, k: int) -> Nearest:
    """The k vectors with the largest product with each query: (q, d), (n, d) → (q, min(k, n)).

    All are `normalised`, so the product is the cosine. Of equal scores the lower row comes first.

    A matrix product adds up in an order that depends on where a row stands and on how many queries
    there are: equal vectors get scores that differ in the last bit. So the product only chooses
    candidates, with a margin that covers its error, and these are scored one by one in double
    precision. The result is that of scoring all of them so. (The margin: Higham, Accuracy and
    Stability of Numerical Algorithms, 3.1: at most d rounding errors of the product of lengths.)
    """
    if k < 1:
        raise ValueError("k must be at least 1")
    count, dimension = vectors.shape
    _same_dimension(queries.shape[1], dimension)
    k = min(k, count)
    if k == 0 or not len(queries):
        return _none(len(queries), k)
    rough = queries @ vectors.T
    kth = np.partition(rough, -k, axis=1)[:, -k]
    margin = 2 * (dimension + 8) * np.finfo(np.float32).eps
    ranked = [
        _ranked(query, vectors, np.flatnonzero(scores >= least), k)
        for query, scores, least in zip(queries, rough, kth - margin, strict=True)
    ]
    return Nearest(
        np.stack([rows for rows, _ in ranked]), np.stack([scores for _, scores in ranked])
    )


def scores_of(query: Vectors, vectors: Vectors) -> Vectors:
    """The product of one query (d) with each vector (n, d), which depends on these two alone: (n)."""
    products: npt.NDArray[np.float64] = np.multiply(vectors, query, dtype=np.float64)
    scores: Vectors = products.sum(axis=1).astype(np.float32)
    return scores


def _ranked(
    query: Vectors, vectors: Vectors, candidates: npt.NDArray[np.intp], k: int
) -> tuple[npt.NDArray[np.intp], Vectors]:
    blocks = np.split(candidates, range(_BLOCK, len(candidates), _BLOCK))
    scores = np.concatenate([scores_of(query, vectors[block]) for block in blocks])
    best = np.argsort(-scores, kind="stable")[:k]  # candidates are in the order of their rows
    return candidates[best], scores[best]


def _none(queries: int, k: int) -> Nearest:
    shape = (queries, k)
    return Nearest(np.empty(shape, dtype=np.intp), np.empty(shape, dtype=np.float32))


def _same_dimension(dimension: int, expected: int) -> None:
    if dimension != expected:
        raise BadVectors(f"vectors of dimension {dimension} where {expected} is expected")


def _finite(vectors: Vectors) -> None:
    """Look at the sum first: it is finite if all numbers are, and needs no array of its own."""
    with np.errstate(invalid="ignore"):
        total = vectors.sum(dtype=np.float64)
    if np.isfinite(total):
        return
    row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
    raise BadVectors(f"vector {row} has a number that is not finite")
