"""Embeds a question, and logs its search: the same for each kind of library."""

import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from app.errors import LLMError
from app.llm.call_record import PREVIEW_CHARS
from app.rag.types import Embed, EmbeddingSpace, ScoredChunk

_log = structlog.get_logger(__name__)


async def embedded(embed: Embed, question: str) -> tuple[EmbeddingSpace, Sequence[float]]:
    """The vector of a question, and the space that it belongs to. Raises the errors of `embed`."""
    answer = await embed([question])
    (vector,) = answer.items
    if isinstance(vector, LLMError):
        raise vector
    return EmbeddingSpace(answer.model, len(vector)), vector


async def logged(
    search: Callable[[str, int], Awaitable[list[ScoredChunk]]],
    question: str,
    k: int,
    *,
    previews: bool,
) -> list[ScoredChunk]:
    """Search, and log it. `previews` adds the beginning of the question, which is personal data."""
    started = time.perf_counter()
    found = await search(question, k)
    preview = {"question": question[:PREVIEW_CHARS]} if previews else {}
    _log.info(
        "retrieval.search",
        question_chars=len(question),
        k=k,
        found=len(found),
        scores=[round(scored.score, 4) for scored in found],
        latency_ms=round((time.perf_counter() - started) * 1000, 3),
        **preview,
    )
    return found
