"""Vectors that are known, by the content of what they belong to; and a file that keeps them.

The file is a checksum, a line of JSON, and the numbers as they are in memory. Nothing in it is ever
executed, and nothing is believed before the checksum of all of it is right.
"""

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import numpy as np

from app.retrieval.vectors import Vectors, checked, normalised

_MAGIC = b"vectors/1 "


class UnreadableStore(ValueError):
    """The file is damaged, or something else than vectors."""


@dataclass(frozen=True, slots=True)
class Space:
    """Vectors of two models, or two dimensions, have nothing to do with each other."""

    model: str
    dimension: int


@dataclass(slots=True)
class VectorStore:
    """Unit vectors of one space, by key. To learn a vector of another one is to forget the rest."""

    space: Space | None = None
    _by_key: dict[str, Vectors] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    def __len__(self) -> int:
        return len(self._by_key)

    def learn(self, model: str, keys: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
        """Raise `BadVectors` for vectors that cannot be calculated with."""
        if not keys:
            return
        vectors = normalised(checked(rows))
        space = Space(model, vectors.shape[1])
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
        """The vectors of these keys, in their order: (n, d)."""
        if not keys:
            return np.empty((0, self.space.dimension if self.space else 0), dtype=np.float32)
        return np.stack([self._by_key[key] for key in keys])

    def save(self, path: Path) -> None:
        """Write the file, or raise an `OSError`; whoever reads meanwhile finds the old one, whole."""
        if self.space is None:
            return
        keys = list(self._by_key)
        facts = {"model": self.space.model, "dimension": self.space.dimension, "keys": keys}
        content = json.dumps(facts).encode() + b"\n" + self.rows(keys).astype("<f4").tobytes()
        _replace(path, _MAGIC + _checksum(content) + b"\n" + content)

    @classmethod
    def load(cls, path: Path) -> "VectorStore":
        """Read what `save` wrote. Raises an `OSError`, or `UnreadableStore`."""
        first, _, content = path.read_bytes().partition(b"\n")
        if first != _MAGIC + _checksum(content):
            raise UnreadableStore("the file is damaged, or of another version")
        head, _, numbers = content.partition(b"\n")
        facts = json.loads(head)
        rows = np.frombuffer(numbers, dtype="<f4").reshape(-1, facts["dimension"])
        space = Space(facts["model"], facts["dimension"])
        return cls(space, dict(zip(facts["keys"], rows, strict=True)))


def _checksum(content: bytes) -> bytes:
    return blake2b(content, digest_size=32).hexdigest().encode()


def _replace(path: Path, content: bytes) -> None:
    """Write beside the file and rename: a crash in the middle leaves the old one."""
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
