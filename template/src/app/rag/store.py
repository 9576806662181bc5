"""Stores vectors by the content of their texts, in memory and in a file.

The file has a checksum, a line of JSON, and the numbers as they are in memory. Nothing in it is
executed, and no part of it is used before the checksum of the whole file is correct.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from app.rag.chunks import Chunk
from app.rag.types import EmbeddingSpace, ScoredChunk
from app.rag.vectors import Vectors, checked, normalised, top_k

_MAGIC = b"vectors/1 "


class UnreadableStoreError(ValueError):
    """The file is damaged, or does not contain vectors."""


@dataclass(slots=True)
class VectorStore:
    """Unit vectors of one space, by key. A vector of another space replaces all stored ones."""

    space: EmbeddingSpace | None = None
    _by_key: dict[str, Vectors] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)

    def learn(self, model: str, keys: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
        """Store vectors by key. Raises `BadVectorsError` for invalid vectors."""
        if not keys:
            return
        vectors = normalised(checked(rows))
        space = EmbeddingSpace(model, vectors.shape[1])
        if space != self.space:
            self.forget()
            self.space = space
        self._by_key.update(zip(keys, vectors, strict=True))

    def forget(self) -> None:
        self.space = None
        self._by_key.clear()

    def keep_only(self, keys: Iterable[str]) -> None:
        wanted = set(keys)
        self._by_key = {key: row for key, row in self._by_key.items() if key in wanted}

    def rows(self, keys: Sequence[str]) -> Vectors:
        """The vectors of these keys, in the same order: (n, d)."""
        if not keys:
            return np.empty((0, self.space.dimension if self.space else 0), dtype=np.float32)
        return np.stack([self._by_key[key] for key in keys])

    def save(self, path: Path) -> None:
        """Write the file atomically: a reader sees the old one until then. Raises an `OSError`."""
        if self.space is None:
            return
        keys = list(self._by_key)
        facts = {"model": self.space.model, "dimension": self.space.dimension, "keys": keys}
        content = json.dumps(facts).encode() + b"\n" + self.rows(keys).astype("<f4").tobytes()
        _replace(path, _MAGIC + _checksum(content) + b"\n" + content)

    @classmethod
    def load(cls, path: Path) -> "VectorStore":
        """Read a file written by `save`. Raises an `OSError`, or `UnreadableStoreError`."""
        first, _, content = path.read_bytes().partition(b"\n")
        if first != _MAGIC + _checksum(content):
            raise UnreadableStoreError("the file is damaged, or of another version")
        head, _, numbers = content.partition(b"\n")
        facts = json.loads(head)
        rows = np.frombuffer(numbers, dtype="<f4").reshape(-1, facts["dimension"])
        space = EmbeddingSpace(facts["model"], facts["dimension"])
        return cls(space, dict(zip(facts["keys"], rows, strict=True)))


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=32).hexdigest().encode()


def _replace(path: Path, content: bytes) -> None:
    """Write a new file and rename it: after a crash in the middle the old file is still there."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """Chunks of documents, and their unit vectors as rows: (n, d)."""

    chunks: tuple[Chunk, ...]
    vectors: Vectors
    space: EmbeddingSpace | None

    def nearest(self, vector: Sequence[float], k: int) -> list[ScoredChunk]:
        """The k chunks that are nearest to a vector of the same space, best first."""
        query = normalised(checked([vector], dimension=self.vectors.shape[1]))
        found = top_k(query, self.vectors, k)
        return [
            ScoredChunk(self.chunks[row], float(score))
            for row, score in zip(found.rows[0], found.scores[0], strict=True)
        ]
