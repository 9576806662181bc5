from collections.abc import Sequence
from dataclasses import dataclass

from app.retrieval.chunks import Chunk
from app.retrieval.store import Space
from app.retrieval.vectors import Vectors, checked, normalised, top_k


@dataclass(frozen=True, slots=True)
class Hit:
    """A piece of a document, and the cosine of its vector and the question's."""

    chunk: Chunk
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Pieces of documents and their unit vectors, row by row: (n, d)."""

    chunks: tuple[Chunk, ...]
    vectors: Vectors
    space: Space | None

    def nearest(self, vector: Sequence[float], k: int) -> list[Hit]:
        """The k pieces that are nearest to a vector of the same space, best first."""
        query = normalised(checked([vector], dimension=self.vectors.shape[1]))
        found = top_k(query, self.vectors, k)
        return [
            Hit(self.chunks[row], float(score))
            for row, score in zip(found.rows[0], found.scores[0], strict=True)
        ]
