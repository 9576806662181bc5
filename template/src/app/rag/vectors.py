"""Arithmetic on embeddings: many vectors at once, as the rows of one array of 32-bit floats.

In the shapes below, n is a number of vectors, q of questions, and d the dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

# The number of rows converted to double precision at a time: with 3,072 numbers each, 100 MB.
_BLOCK = 4096


class BadVectorsError(ValueError):
    """Invalid vectors: of different lengths, not finite, or of an unexpected dimension."""


def checked(rows: Vectors | Sequence[Sequence[float]], *, dimension: int | None = None) -> Vectors:
    """Convert rows of numbers to vectors, (n, d). Arrays of float32 are not copied.

    Raises `BadVectorsError` unless the rows are finite, of one length, and of `dimension` if given.
    """
    try:
        with np.errstate(over="ignore"):  # a number too large for float32 fails the check below
            vectors = np.asarray(rows, dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise BadVectorsError("not rows of numbers, all of one length") from error
    if vectors.ndim != 2:  # noqa: PLR2004 - rows and columns
        raise BadVectorsError(
            f"rows of numbers are expected, not {vectors.ndim} dimensions of them"
        )
    if dimension is not None:
        _same_dimension(vectors.shape[1], dimension)
    _finite(vectors)
    return vectors


def normalised(vectors: Vectors) -> Vectors:
    """Scale each vector to length 1: (n, d) → (n, d). A vector of zeros does not change.

    Lengths are computed in double precision: no square of a float32 over- or underflows there.
    """
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    lengths = np.sqrt(squares, out=squares)
    lengths[lengths == 0] = 1
    # Divided in double precision, block by block, so that only the result has n rows.
    units: Vectors = np.empty_like(vectors)
    np.divide(vectors, lengths[:, np.newaxis], out=units, casting="same_kind")
    return units


@dataclass(frozen=True, slots=True)
class Nearest:
    """For each query, the rows of its nearest vectors, best first, and their scores: (q, k)."""

    rows: npt.NDArray[np.intp]
    scores: Vectors


def top_k(queries: Vectors, vectors: Vectors, k: int) -> Nearest:
    """The k vectors with the largest product with each query: (q, d), (n, d) → (q, min(k, n)).

    All vectors are `normalised`, so the product is the cosine. Of equal scores the lower row comes
    first.

    A matrix product sums in an order that depends on the position of a row and on the number of
    queries, so equal vectors get scores that differ in the last bit. The product therefore only
    selects candidates, with a margin for its error, and each candidate is scored by its `cosine`.
    The result is the same as scoring all vectors like this. (The margin: Higham,
    Accuracy and Stability of Numerical Algorithms, 3.1: at most d rounding errors of the product of
    lengths.)
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


def cosine(query: Vectors, vectors: Vectors) -> Vectors:
    """The cosine of one vector (d) with each of many (n, d): (n), from -1 to 1; 0 for zeros.

    All vectors are `normalised`. Computed in double precision, so a cosine depends on its two
    vectors alone.
    """
    _same_dimension(len(query), vectors.shape[1])
    products: npt.NDArray[np.float64] = np.multiply(vectors, query, dtype=np.float64)
    cosines: Vectors = np.clip(products.sum(axis=1), -1, 1).astype(np.float32)
    return cosines


def _ranked(
    query: Vectors, vectors: Vectors, candidates: npt.NDArray[np.intp], k: int
) -> tuple[npt.NDArray[np.intp], Vectors]:
    blocks = np.split(candidates, range(_BLOCK, len(candidates), _BLOCK))
    scores = np.concatenate([cosine(query, vectors[block]) for block in blocks])
    best = np.argsort(-scores, kind="stable")[:k]  # candidates are ordered by row
    return candidates[best], scores[best]


def _none(queries: int, k: int) -> Nearest:
    shape = (queries, k)
    return Nearest(np.empty(shape, dtype=np.intp), np.empty(shape, dtype=np.float32))


def _same_dimension(dimension: int, expected: int) -> None:
    if dimension != expected:
        raise BadVectorsError(f"vectors have dimension {dimension}; {expected} is expected")


def _finite(vectors: Vectors) -> None:
    """Check the sum first: it is finite if all numbers are, and needs no second array."""
    with np.errstate(invalid="ignore"):
        total = vectors.sum(dtype=np.float64)
    if np.isfinite(total):
        return
    row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
    raise BadVectorsError(f"vector {row} contains a number that is not finite")
