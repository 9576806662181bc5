"""Searches the index that all processes share, which any of them may have built."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

import structlog

from app.backend import Check
from app.errors import DocumentsNotReadyError
from app.rag.policy import DocumentsPolicy
from app.rag.questions import embedded, logged
from app.rag.shared.index import Found, Published, SharedIndex
from app.rag.shared.indexing import SharedIndexer
from app.rag.types import Embed, EmbeddingSpace, ScoredChunk
from app.resilience.deadline import without_deadline
from app.resilience.race import cancel_and_wait

_log = structlog.get_logger(__name__)

# Half of a typical caller's timeout. A folder of 10,000 chunks takes longer; indexing it continues.
_INDEX_TIMEOUT_S = 30.0
_TRY_AGAIN_S = 10.0
# The number of times a question is embedded before its model counts as new: a gateway with two
# models may answer with either of them. And the number of times that a search starts again because
# another generation was published in the middle.
_ATTEMPTS = 3
# How soon a process indexes its folder again if another process has published other documents. In a
# rolling update the processes of two versions have different folders: not every question may switch.
_FOREIGN_S = 600.0


class SharedLibrary:
    """The documents, searched by meaning, in a store of all processes: a `Searchable`.

    A process without a folder only searches. Another process makes the index equal to its folder at
    its first question: in the background, if there is an index already. A document that changes
    later is found after a restart of a process that has it. `checks` are the store's own, for `/readyz`.
    """

    def __init__(
        self,
        index: SharedIndex,
        indexer: SharedIndexer | None,
        embed: Embed,
        *,
        previews: bool = False,
        checks: Mapping[str, Check] | None = None,
        index_timeout_s: float = _INDEX_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.checks: Mapping[str, Check] = checks or {}
        self._index = index
        self._indexer = indexer
        self._embed = embed
        self._previews = previews
        self._patience_s = index_timeout_s
        self._clock = clock
        self._building: asyncio.Task[None] | None = None
        self._next_build_at = float("-inf")
        self._has_failed = False

    async def is_ready(self) -> bool:
        """Whether the store is in use and the last indexing of this process, if any, succeeded."""
        return await self._index.is_available() and not self._has_failed

    async def search(self, question: str, k: int) -> list[ScoredChunk]:
        return await logged(self._search, question, k, previews=self._previews)

    async def aclose(self) -> None:
        if self._building is not None:
            await cancel_and_wait([self._building])

    async def _search(self, question: str, k: int) -> list[ScoredChunk]:
        if await self._has_no_documents():
            return []
        space, vector, found = await self._asked(question, k)
        for _ in range(_ATTEMPTS - 1):
            if found.chunks is not None or found.state is None:
                break
            found = await self._index.nearest(space, vector, k)
        if found.chunks is None:
            raise DocumentsNotReadyError(
                "The index of the documents is changing.", retry_after_s=1.0
            )
        return found.chunks

    async def _has_no_documents(self) -> bool:
        """Whether the folder is empty. Documents that it had before are then removed."""
        if self._indexer is None or (await self._indexer.manifest()).ids:
            return False
        if (current := await self._index.current()) is not None:
            state, _current = await self._index.published(current)
            await self._refresh(current, state, current)
        return True

    async def _asked(self, question: str, k: int) -> tuple[EmbeddingSpace, Sequence[float], Found]:
        """The question's space and vector, and what a first search found in a published index."""
        space, vector = await embedded(self._embed, question)
        found = await self._index.nearest(space, vector, k)
        for _ in range(_ATTEMPTS - 1):
            if found.state is not None or found.current in {None, space}:
                break
            space, vector = await embedded(self._embed, question)
            found = await self._index.nearest(space, vector, k)
        if found.state is None:
            await self._built(space)
            found = await self._index.nearest(space, vector, k)
        if found.state is None:
            raise DocumentsNotReadyError(
                "The embedding model is changing.", retry_after_s=_TRY_AGAIN_S
            )
        await self._refresh(space, found.state, found.current)
        return space, vector, found

    async def _refresh(
        self, space: EmbeddingSpace, state: Published | None, current: EmbeddingSpace | None
    ) -> None:
        """Index the folder in the background, if the published documents are others."""
        if self._indexer is None:
            return
        manifest = await self._indexer.manifest()
        is_equal = state is not None and state.fingerprint == manifest.fingerprint
        if is_equal and current == space:
            self._has_failed = False
        elif not self._is_building and self._clock() >= self._next_build_at:
            self._begin_build(self._indexer, space)

    async def _built(self, space: EmbeddingSpace) -> None:
        """Wait until there is an index, but not for longer than a caller waits."""
        if self._indexer is None:
            raise DocumentsNotReadyError(
                "No process has indexed the documents with this embedding model; "
                "DOCUMENTS_DIR is empty in this one.",
                retry_after_s=_TRY_AGAIN_S,
            )
        if not self._is_building:
            self._begin_build(self._indexer, space)
        building = self._building
        assert building is not None  # noqa: S101 - for mypy
        await asyncio.wait({building}, timeout=self._patience_s)  # a leaving caller cannot end it
        if not building.done():
            raise DocumentsNotReadyError(
                "The documents are still being read.", retry_after_s=_TRY_AGAIN_S
            )
        building.result()

    @property
    def _is_building(self) -> bool:
        return self._building is not None and not self._building.done()

    def _begin_build(self, indexer: SharedIndexer, space: EmbeddingSpace) -> None:
        with without_deadline():  # of the question: the index is built for all later ones
            self._building = asyncio.create_task(self._build(indexer, space))
        self._building.add_done_callback(_report)

    async def _build(self, indexer: SharedIndexer, space: EmbeddingSpace) -> None:
        self._next_build_at = self._clock() + _TRY_AGAIN_S
        try:
            await indexer.build(space)
        except BaseException:
            self._has_failed = True
            raise
        self._has_failed = False
        self._next_build_at = self._clock() + _FOREIGN_S


@asynccontextmanager
async def opened(
    policy: DocumentsPolicy,
    embed: Embed,
    index: SharedIndex,
    *,
    previews: bool = False,
    checks: Mapping[str, Check] | None = None,
) -> AsyncIterator[SharedLibrary]:
    """The library of an index. A policy without a folder only searches."""
    indexer = None
    if policy.dir is not None:
        indexer = SharedIndexer(policy.dir, policy.chunk_chars, embed, index)
    library = SharedLibrary(index, indexer, embed, previews=previews, checks=checks)
    async with aclosing(library):
        yield library


def _report(building: "asyncio.Task[None]") -> None:
    """Log a failure here, because all callers may have left."""
    if not building.cancelled() and (error := building.exception()) is not None:
        _log.warning("retrieval.index_failed", error=type(error).__name__)
