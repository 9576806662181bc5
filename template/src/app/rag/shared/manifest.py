"""Lists the chunks of a folder without their texts, which are read again when they are embedded.

The texts of 100,000 chunks take more memory than the whole service.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from app.errors import DocumentsNotReadyError
from app.rag.chunks import Chunk, chunks_of
from app.rag.documents import Warn, ignored, read_folder


@dataclass(frozen=True, slots=True)
class Manifest:
    """The ids of the chunks, by the key of their text. Equal folders have equal fingerprints."""

    ids: Mapping[str, Sequence[str]]
    fingerprint: str

    @classmethod
    def of(cls, chunks: Iterator[Chunk]) -> "Manifest":
        ids: dict[str, list[str]] = {}
        for chunk in chunks:
            ids.setdefault(chunk.key, []).append(chunk.id)
        lines = sorted(f"{name}\0{key}\n" for key, names in ids.items() for name in names)
        return cls(ids, sha256("".join(lines).encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Folder:
    path: Path
    chunk_chars: int
    warn: Warn = ignored

    def manifest(self) -> Manifest:
        """Read all documents. Raises `DocumentsNotReadyError` if the folder cannot be read."""
        return Manifest.of(self._chunks())

    def batches(self, keys: Collection[str], size: int) -> Iterator[list[Chunk]]:
        """The chunks with these keys, each text once, in lists of at most `size`."""
        wanted, batch = set(keys), list[Chunk]()
        for chunk in self._chunks():
            if (key := chunk.key) in wanted:
                wanted.discard(key)
                batch.append(chunk)
            if not wanted:
                break
            if len(batch) == size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _chunks(self) -> Iterator[Chunk]:
        try:
            for document in read_folder(self.path, warn=self.warn):
                yield from chunks_of(document, self.chunk_chars)
        except OSError as error:
            message = f"The documents folder cannot be read: {error.strerror}."
            raise DocumentsNotReadyError(message) from error
