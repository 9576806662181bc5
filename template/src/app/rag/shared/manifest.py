"""Lists the chunks of a folder without their texts, which are read again when they are embedded.

The texts of 100,000 chunks take more memory than the whole service.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from app.errors import DocumentsNotReadyError
from app.rag.chunks import Chunk, chunks_of
from app.rag.documents import Warn, ignored, read_folder
from app.rag.shared.ids import Ids

_KEY = 32  # bytes of a SHA-256


@dataclass(frozen=True, slots=True)
class Manifest:
    """The ids of the chunks, by the key of their text. Equal folders have equal fingerprints."""

    ids: Ids
    fingerprint: str

    @classmethod
    def of(cls, chunks: Iterator[Chunk]) -> "Manifest":
        ids = Ids((chunk.key, chunk.id) for chunk in chunks)
        found = sha256()
        for line in sorted(_lines(ids)):
            found.update(line[:-_KEY] + line[-_KEY:].hex().encode() + b"\n")
        return cls(ids, found.hexdigest())


def _lines(ids: Ids) -> Iterator[bytes]:
    """Each id with its key. As bytes, because 100,000 pairs of strings take 25 MB."""
    for key, names in ids.items():
        yield from (name.encode() + b"\0" + bytes.fromhex(key) for name in names)


@dataclass(frozen=True, slots=True)
class Folder:
    path: Path
    chunk_chars: int
    warn: Warn = ignored

    def manifest(self) -> Manifest:
        """Read all documents. Raises `DocumentsNotReadyError` if the folder cannot be read."""
        return Manifest.of(self._chunks())

    def batches(self, ids: Ids, wanted: bytearray, size: int) -> Iterator[list[Chunk]]:
        """The chunks at the wanted positions, each text once, in lists of at most `size`.

        A position that was found is not wanted any more.
        """
        batch = list[Chunk]()
        for chunk in self._chunks():
            place = ids.position(chunk.key)
            if place is not None and wanted[place]:
                wanted[place] = False
                batch.append(chunk)
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
