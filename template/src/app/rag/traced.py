import json
from collections.abc import Mapping, Sequence

from opentelemetry.trace import Tracer

from app.backend import Check
from app.llm.call_record import PREVIEW_CHARS
from app.rag.searchable import Searchable
from app.rag.types import ScoredChunk
from app.telemetry import conventions as semconv
from app.telemetry.redaction import preview
from app.telemetry.tracing import Attributes, current, set_attributes, span_of

# OpenTelemetry's conventions require a name for the searched collection. There is only one.
_SOURCE = "documents"


class TracedLibrary:
    """One span per search. Embedding the question has a span inside; the other time is the search.

    Reading the documents is part of the search that waits for it. `previews` adds the beginning of
    the question and the found chunks, which are personal data.
    """

    def __init__(self, library: Searchable, tracer: Tracer, *, previews: bool = False) -> None:
        self._library = library
        self._tracer = tracer
        self._previews = previews

    @property
    def checks(self) -> Mapping[str, Check]:
        return self._library.checks

    async def is_ready(self) -> bool:
        return await self._library.is_ready()

    async def search(self, question: str, k: int) -> list[ScoredChunk]:
        attributes: Attributes = {
            semconv.OPERATION: "retrieval",
            semconv.DATA_SOURCE: _SOURCE,
            semconv.TOP_K: k,
        }
        with span_of(self._tracer, f"retrieval {_SOURCE}", attributes) as span, current(span):
            chunks = await self._library.search(question, k)
            span.set_attribute(semconv.FOUND, len(chunks))
            if self._previews:
                set_attributes(span, _preview(question, chunks))
            return chunks


def _preview(question: str, chunks: Sequence[ScoredChunk]) -> Attributes:
    found = [{"id": scored.chunk.id, "score": round(scored.score, 4)} for scored in chunks]
    return {
        semconv.QUERY_TEXT: preview(question, PREVIEW_CHARS),
        semconv.DOCUMENTS: json.dumps(found),
    }
