"""Builds the index of a folder. Only new or changed chunks are embedded: none is paid twice."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from app.errors import DocumentsNotReadyError, LLMError, MalformedAnswerError
from app.rag.chunks import Chunk, chunks_of
from app.rag.documents import read_folder
from app.rag.left_out import LeftOut
from app.rag.policy import DocumentsPolicy
from app.rag.store import Index, UnreadableStoreError, VectorStore
from app.rag.types import Embed, Embedded, EmbeddingSpace

_log = structlog.get_logger(__name__)

# Texts that are embedded together, and are lost if the process ends before the answer.
_TEXTS_AT_ONCE = 512
# Until a request succeeds, only a sample is sent. If the provider refuses all texts, finding the
# bad ones among 512 would take 1,000 calls and use up the calls per minute of all callers.
_SAMPLE_TEXTS = 8
# The minimum time between two times of embedding all documents because the model has changed.
# Behind some gateways two models alternate, and each change would pay for all documents again.
_MODEL_LASTS_S = 3600.0


class Indexer:
    """Builds the index of the policy's folder, and can do so repeatedly. Without a folder it is empty.

    Vectors are kept in memory, also those of an attempt that failed later, and in the file
    `index_path` if there is one. If this file cannot be read or written, answers still work but
    cost more. A chunk is left out if the provider refuses it, or returns an unusable vector for it
    twice. A document that cannot be read is left out too. Each of these is logged once.
    """

    def __init__(
        self,
        policy: DocumentsPolicy,
        embed: Embed,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._embed = embed
        self._clock = clock
        self._store: VectorStore | None = None
        self._changed_at = -math.inf
        self._left_out = LeftOut(clock)

    async def index(self) -> Index:
        """Build the index. Raises the errors of `embed`, and the first one it reports for a text.

        Refusals are not raised. Raises `DocumentsNotReadyError` if the folder cannot be read, and
        `MalformedAnswerError` if there are documents and none of them could be embedded.
        """
        started = time.perf_counter()
        if self._store is None:
            self._store = await asyncio.to_thread(_loaded, self._policy.index_path)
        chunks = await asyncio.to_thread(self._read)
        embedded = await self._embed_missing(chunks, self._store)
        index = await asyncio.to_thread(self._assembled, chunks, self._store, changed=embedded > 0)
        if chunks and not index.chunks:
            raise MalformedAnswerError(
                "None of the documents could be embedded; the log has the reasons."
            )
        _log.info(
            "retrieval.indexed",
            chunks=len(index.chunks),
            embedded=embedded,
            left_out=len(chunks) - len(index.chunks),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        )
        return index

    def change_to(self, space: EmbeddingSpace) -> None:
        """Delete the vectors of another space, because the embedding model has changed.

        Raises `DocumentsNotReadyError` if the model changed a short time ago.
        """
        store = self._store
        if store is None or store.space in {None, space}:
            return
        left_s = self._changed_at + _MODEL_LASTS_S - self._clock()
        if left_s > 0:
            raise DocumentsNotReadyError(
                "Several embedding models answer in turn.", retry_after_s=1.0
            )
        self._changed_at = self._clock()
        self._left_out.clear()
        _log.warning("retrieval.model_changed", model=space.model, dimension=space.dimension)
        store.forget()

    async def _embed_missing(self, chunks: Sequence[Chunk], store: VectorStore) -> int:
        """Embed until no chunk is missing: a vector of a new model makes all other chunks missing.

        If a whole sample had to be left out, the remaining chunks are not sent.
        """
        embedded = 0
        while missing := self._missing(chunks, store):
            answer = await self._embed([chunk.text for chunk in missing])
            embedded += self._learn(missing, answer, store)
        return embedded

    def _learn(self, chunks: Sequence[Chunk], answer: Embedded, store: VectorStore) -> int:
        """Store the vectors before any error is raised, because they are paid for."""
        vectors: dict[str, Sequence[float]] = {}
        failed: list[tuple[Chunk, LLMError]] = []
        for chunk, item in zip(chunks, answer.items, strict=True):
            if isinstance(item, LLMError):
                failed.append((chunk, item))
            else:
                vectors[chunk.key] = item
        if vectors:
            self.change_to(EmbeddingSpace(answer.model, len(next(iter(vectors.values())))))
            store.learn(answer.model, list(vectors), list(vectors.values()))
        errors = [error for chunk, error in failed if not self._left_out.add(chunk, error)]
        if errors:
            raise errors[0]
        return len(vectors)

    def _missing(self, chunks: Sequence[Chunk], store: VectorStore) -> list[Chunk]:
        left_out = self._left_out.keys
        missing = [c for c in chunks if c.key not in store and c.key not in left_out]
        if len(store):
            return missing[:_TEXTS_AT_ONCE]
        if left_out:
            return []
        every = max(1, len(missing) // _SAMPLE_TEXTS)
        return missing[::every][: min(_SAMPLE_TEXTS, _TEXTS_AT_ONCE)]

    def _read(self) -> list[Chunk]:
        if self._policy.dir is None:
            return []
        documents = read_folder(self._policy.dir, warn=self._left_out.warn)
        try:
            return [c for each in documents for c in chunks_of(each, self._policy.chunk_chars)]
        except OSError as error:
            message = f"The documents folder cannot be read: {error.strerror}."
            raise DocumentsNotReadyError(message) from error

    def _assembled(self, chunks: Sequence[Chunk], store: VectorStore, *, changed: bool) -> Index:
        found = tuple(chunk for chunk in chunks if chunk.key in store)
        keys = [chunk.key for chunk in found]
        store.keep_only(keys)
        if changed and self._policy.index_path is not None:
            _save(store, self._policy.index_path)
        return Index(found, store.rows(keys), store.space)


def _loaded(path: Path | None) -> VectorStore:
    try:
        return VectorStore() if path is None else VectorStore.load(path)
    except FileNotFoundError:
        return VectorStore()
    except (OSError, UnreadableStoreError) as error:
        _log.warning("retrieval.index_unreadable", error=str(error))
        return VectorStore()


def _save(store: VectorStore, path: Path) -> None:
    try:
        store.save(path)
    except OSError as error:
        _log.warning("retrieval.index_not_saved", error=str(error))
