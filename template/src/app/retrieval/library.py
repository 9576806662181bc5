import asyncio
import time
from collections.abc import Sequence

import structlog

from app.errors import DocumentsNotReady, LLMError
from app.retrieval.index import Hit, Index
from app.retrieval.indexing import Embed, Indexer
from app.retrieval.policy import DocumentsPolicy
from app.retrieval.store import Space

_log = structlog.get_logger(__name__)

_PREVIEW_CHARS = 80
# Half of what a caller usually has: a folder of 10,000 pieces takes longer, and is read all the same.
_PATIENCE_S = 30.0
_TRY_AGAIN_S = 10.0


class Library:
    """The documents, searched by meaning.

    Nothing happens before the first search, so that a service starts at once, and without any
    provider. Then the folder is read in a task of its own: however many wait for it, it is read
    once, and goes on when they have left. What failed is tried again by the next search. A document
    that changes afterwards is found after a restart.

    `previews` writes the beginning of questions, personal data, to the log.
    """

    def __init__(
        self,
        policy: DocumentsPolicy,
        embed: Embed,
        *,
        previews: bool = False,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._embed = embed
        self._indexer = Indexer(policy, embed)
        self._previews = previews
        self._patience_s = patience_s
        self._index: Index | None = None
        self._reading: asyncio.Task[Index] | None = None

    async def is_ready(self) -> bool:
        """Tell whether the documents have been read, as a check of `/readyz`."""
        return self._index is not None

    async def search(self, question: str, k: int) -> list[Hit]:
        """The k pieces nearest to a question, best first; none when there are no documents.

        Raises whatever `embed` raises, and `DocumentsNotReady` while the folder is being read.
        """
        started = time.perf_counter()
        hits = await self._search(question, k)
        preview = {"question": question[:_PREVIEW_CHARS]} if self._previews else {}
        _log.info(
            "retrieval.search",
            question_chars=len(question),
            k=k,
            found=len(hits),
            scores=[round(hit.score, 4) for hit in hits],
            latency_ms=round((time.perf_counter() - started) * 1000, 3),
            **preview,
        )
        return hits

    async def aclose(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait({self._reading})

    async def _search(self, question: str, k: int) -> list[Hit]:
        index = self._index or await self._read()
        if not index.chunks:
            return []
        space, vector = await self._embedded(question)
        if space != index.space:
            index = await self._read_anew(index, space)
        return await asyncio.to_thread(index.nearest, vector, k)

    async def _embedded(self, question: str) -> tuple[Space, Sequence[float]]:
        answer = await self._embed([question])
        (vector,) = answer.items
        if isinstance(vector, LLMError):
            raise vector
        return Space(answer.model, len(vector)), vector

    async def _read_anew(self, outdated: Index, space: Space) -> Index:
        """The model has changed since the vectors of the index were made, perhaps years ago."""
        if self._index is outdated:
            self._index = None
            self._indexer.forget()
        index = self._index or await self._read()
        if index.space != space:
            raise DocumentsNotReady(
                "The model for embeddings is changing.", retry_after_s=_TRY_AGAIN_S
            )
        return index

    async def _read(self) -> Index:
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._make_index())
            self._reading.add_done_callback(_report)
        reading = self._reading
        await asyncio.wait({reading}, timeout=self._patience_s)  # whoever leaves does not end it
        if not reading.done():
            raise DocumentsNotReady(
                "The documents are still being read.", retry_after_s=_TRY_AGAIN_S
            )
        return reading.result()

    async def _make_index(self) -> Index:
        self._index = await self._indexer.index()
        return self._index


def _report(reading: asyncio.Task[Index]) -> None:
    """Say what went wrong here: all who waited may have left."""
    if not reading.cancelled() and (error := reading.exception()) is not None:
        _log.warning("retrieval.index_failed", error=type(error).__name__)
