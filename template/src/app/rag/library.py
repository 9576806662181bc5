"""Searches the index that this process has built."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from app.backend import Check
from app.errors import DocumentsNotReadyError
from app.rag.policy import DocumentsPolicy
from app.rag.questions import embedded, logged
from app.rag.types import Embed, EmbeddingSpace, ScoredChunk
from app.resilience.deadline import without_deadline

if TYPE_CHECKING:
    from app.rag.indexing import Indexer
    from app.rag.store import Index

_log = structlog.get_logger(__name__)

# Half of a typical caller's timeout. A folder of 10,000 chunks takes longer; reading it continues.
_INDEX_TIMEOUT_S = 30.0
_TRY_AGAIN_S = 10.0
# The number of times a question is embedded before its model counts as new. A gateway with two
# models may answer with either of them, and one text costs less than all documents.
_QUESTION_ATTEMPTS = 3


class Library:
    """The documents, searched by meaning, in the memory of this process: a `Searchable`.

    The folder is read at the first search, so that the service starts at once and without a
    provider. One task reads the folder for all waiting callers, and continues if they leave. After
    a failure the next search tries again. A document that changes later is found after a restart.

    `previews` logs the beginning of questions, which are personal data.
    """

    checks: Mapping[str, Check] = {}

    def __init__(
        self,
        policy: DocumentsPolicy,
        embed: Embed,
        *,
        previews: bool = False,
        index_timeout_s: float = _INDEX_TIMEOUT_S,
    ) -> None:
        self._policy = policy
        self._embed = embed
        self._indexer: Indexer | None = None
        self._previews = previews
        self._patience_s = index_timeout_s
        self._index: Index | None = None
        self._reading: asyncio.Task[Index] | None = None
        self._has_failed = False

    async def is_ready(self) -> bool:
        """Whether questions can be answered; a check of `/readyz`.

        Documents that no question has needed yet are ready; after a failed reading they are not.
        """
        return self._index is not None or not self._has_failed

    async def search(self, question: str, k: int) -> list[ScoredChunk]:
        """The k chunks nearest to a question, best first; none if there are no documents.

        Raises the errors of `embed`, and `DocumentsNotReadyError` while the folder is being read.
        """
        return await logged(self._search, question, k, previews=self._previews)

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _search(self, question: str, k: int) -> list[ScoredChunk]:
        index = self._index or await self._read()
        if not index.chunks:
            return []
        space, vector = await embedded(self._embed, question)
        for _ in range(_QUESTION_ATTEMPTS - 1):
            index = self._index or index  # a search at the same time may have built a new index
            if space == index.space:
                break
            space, vector = await embedded(self._embed, question)
        index = self._index or index
        if space != index.space:
            index = await self._read_anew(index, space)
        return await asyncio.to_thread(index.nearest, vector, k)

    async def _read_anew(self, outdated: "Index", space: EmbeddingSpace) -> "Index":
        """Build the index again, because its vectors are of another model than the question's."""
        if self._index is outdated:
            (await self._opened()).change_to(space)
            self._index = None
        index = self._index or await self._read()
        if index.space != space:
            raise DocumentsNotReadyError(
                "The embedding model is changing.", retry_after_s=_TRY_AGAIN_S
            )
        return index

    async def _read(self) -> "Index":
        if self._reading is None or self._reading.done():
            with without_deadline():  # of the question: the documents are read for all later ones
                self._reading = asyncio.create_task(self._make_index())
            self._reading.add_done_callback(_report)
        reading = self._reading
        await asyncio.wait({reading}, timeout=self._patience_s)  # a leaving caller cannot end it
        if not reading.done():
            raise DocumentsNotReadyError(
                "The documents are still being read.", retry_after_s=_TRY_AGAIN_S
            )
        return reading.result()

    async def _make_index(self) -> "Index":
        try:
            self._index = await (await self._opened()).index()
        except BaseException:
            self._has_failed = True
            raise
        self._has_failed = False
        return self._index

    async def _opened(self) -> "Indexer":
        if self._indexer is None:
            # In a thread: the import would hold the event loop.
            self._indexer = await asyncio.to_thread(_indexer, self._policy, self._embed)
        return self._indexer


def _indexer(policy: DocumentsPolicy, embed: Embed) -> "Indexer":
    # NumPy takes 11 MB, and a service that is not asked about documents does not need it.
    from app.rag.indexing import Indexer  # noqa: PLC0415

    return Indexer(policy, embed)


def _report(reading: "asyncio.Task[Index]") -> None:
    """Log a failure here, because all callers may have left."""
    if not reading.cancelled() and (error := reading.exception()) is not None:
        _log.warning("retrieval.index_failed", error=type(error).__name__)
