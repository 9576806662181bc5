import json
from collections.abc import Sequence

from app.llm.grounded import Searchable
from app.llm.wrappers.call import PREVIEW_CHARS
from app.retrieval.index import Hit
from app.telemetry import conventions as named
from app.telemetry.tracing import Facts, Tracer

# The conventions want a name for what is searched. There is one library.
_SOURCE = "documents"


class TracedLibrary:
    """One span per search. Embedding the question is a span inside; what is left is the search.

    Reading the documents belongs to the question that had to wait for it. `previews` adds the
    beginning of the question, and which pieces were found: personal data.
    """

    def __init__(self, library: Searchable, tracer: Tracer, *, previews: bool = False) -> None:
        self._library = library
        self._tracer = tracer
        self._previews = previews

    async def is_ready(self) -> bool:
        return await self._library.is_ready()

    async def search(self, question: str, k: int) -> list[Hit]:
        told: Facts = {named.OPERATION: "retrieval", named.DATA_SOURCE: _SOURCE, named.TOP_K: k}
        with self._tracer.span(f"retrieval {_SOURCE}", told) as span, span.current():
            hits = await self._library.search(question, k)
            span.note({named.FOUND: len(hits)})
            if self._previews:
                span.note(_preview(question, hits))
            return hits


def _preview(question: str, hits: Sequence[Hit]) -> Facts:
    found = [{"id": hit.chunk.id, "score": round(hit.score, 4)} for hit in hits]
    return {
        named.QUERY_TEXT: question[:PREVIEW_CHARS],
        named.DOCUMENTS: json.dumps(found),
    }
