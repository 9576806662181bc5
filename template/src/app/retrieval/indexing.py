"""From a folder to an index: what is new or changed is embedded, and nothing is paid for twice."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.errors import DocumentsNotReady, LLMError, RequestRefused
from app.retrieval.chunks import Chunk, chunks_of
from app.retrieval.documents import read_folder
from app.retrieval.index import Index
from app.retrieval.policy import DocumentsPolicy
from app.retrieval.store import Space, UnreadableStore, VectorStore

_log = structlog.get_logger(__name__)

# What is embedded at once, and lost when the process ends before it is answered.
_TEXTS_AT_ONCE = 512


@dataclass(frozen=True, slots=True)
class Embedded:
    """For each text, in order, its vector or why it has none. `model` counts where there is one."""

    model: str
    items: Sequence[Sequence[float] | LLMError]


Embed = Callable[[Sequence[str]], Awaitable[Embedded]]


class Indexer:
    """Makes the index of the policy's folder, again and again if need be.

    What was embedded is remembered, also by an attempt that failed in the end, and kept in the file
    of `index_path`, if any. A file that cannot be read or written costs money, not answers. A piece
    that the provider refuses is left out, and not asked again before a restart.
    """

    def __init__(self, policy: DocumentsPolicy, embed: Embed) -> None:
        self._policy = policy
        self._embed = embed
        self._store: VectorStore | None = None
        self._refused: set[str] = set()

    async def index(self) -> Index:
        """Raise whatever `embed` raises, or the first error it reports, unless that is a refusal."""
        started = time.perf_counter()
        if self._store is None:
            self._store = await asyncio.to_thread(_loaded, self._policy.index_path)
        chunks = await asyncio.to_thread(_read, self._policy)
        embedded = await self._embed_missing(chunks, self._store)
        index = await asyncio.to_thread(self._assembled, chunks, self._store, changed=embedded > 0)
        _log.info(
            "retrieval.indexed",
            chunks=len(index.chunks),
            embedded=embedded,
            left_out=len(chunks) - len(index.chunks),
            duration_ms=round((time.perf_counter() - started) * 1000, 3),
        )
        return index

    def forget(self) -> None:
        """Start anew: the model that embeds has changed."""
        self._refused.clear()
        if self._store is not None:
            self._store.forget()

    async def _embed_missing(self, chunks: Sequence[Chunk], store: VectorStore) -> int:
        """Ask until nothing is missing: to learn a vector of a new model makes all others missing.

        Raises `DocumentsNotReady` when an old one comes back. Two that take turns, as behind some
        gateways, would be paid for ever.
        """
        embedded = 0
        outdated: list[Space | None] = []
        while missing := self._missing(chunks, store):
            before = store.space
            answer = await self._embed([chunk.text for chunk in missing])
            embedded += self._learn(missing, answer, store)
            if store.space in outdated:
                raise DocumentsNotReady("The documents are embedded by two models in turns.")
            if store.space != before:
                outdated.append(before)
        return embedded

    def _learn(self, chunks: Sequence[Chunk], answer: Embedded, store: VectorStore) -> int:
        """Keep the vectors before anything is raised: they are paid for."""
        vectors, errors = {}, []
        for chunk, item in zip(chunks, answer.items, strict=True):
            if isinstance(item, RequestRefused):
                self._refused.add(chunk.key)
            elif isinstance(item, LLMError):
                errors.append(item)
            else:
                vectors[chunk.key] = item
        store.learn(answer.model, list(vectors), list(vectors.values()))
        if errors:
            raise errors[0]
        return len(vectors)

    def _missing(self, chunks: Sequence[Chunk], store: VectorStore) -> list[Chunk]:
        wanted = (c for c in chunks if c.key not in store and c.key not in self._refused)
        return [chunk for chunk, _ in zip(wanted, range(_TEXTS_AT_ONCE), strict=False)]

    def _assembled(self, chunks: Sequence[Chunk], store: VectorStore, *, changed: bool) -> Index:
        found = tuple(chunk for chunk in chunks if chunk.key in store)
        keys = [chunk.key for chunk in found]
        store.keep_only(keys)
        if changed and self._policy.index_path is not None:
            _save(store, self._policy.index_path)
        return Index(found, store.rows(keys), store.space)


def _read(policy: DocumentsPolicy) -> list[Chunk]:
    def chunks() -> Iterator[Chunk]:
        for document in read_folder(policy.folder):
            yield from chunks_of(document, policy.chunk_chars)

    return list(chunks())


def _loaded(path: Path | None) -> VectorStore:
    try:
        return VectorStore() if path is None else VectorStore.load(path)
    except FileNotFoundError:
        return VectorStore()
    except (OSError, UnreadableStore) as error:
        _log.warning("retrieval.index_unreadable", error=str(error))
        return VectorStore()


def _save(store: VectorStore, path: Path) -> None:
    try:
        store.save(path)
    except OSError as error:
        _log.warning("retrieval.index_not_saved", error=str(error))
