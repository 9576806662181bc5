"""Lets the model search the documents again, by a tool, before it answers (`DOCUMENTS_SEARCH_TOOL`)."""

from typing import Annotated

from pydantic import Field

from app.llm.model import ChatModel
from app.llm.tools.function import FunctionTool, function_tool
from app.llm.tools.loop import ToolLoop
from app.llm.tools.telemetry import ToolTelemetry
from app.llm.types import ChatRequest, LLMResponse
from app.rag.policy import DocumentsPolicy
from app.rag.prompt import Excerpts
from app.rag.searchable import Searchable
from app.rag.types import ScoredChunk

_MAX_QUERY_CHARS = 1_000

_NOTHING_NEW = "No other excerpt fits these words."


class SearchAgain:
    """A model that may search a library while it answers, within the bounds of the policy."""

    def __init__(
        self,
        model: ChatModel,
        library: Searchable,
        policy: DocumentsPolicy,
        telemetry: ToolTelemetry,
    ) -> None:
        self._model = model
        self._library = library
        self._policy = policy
        self._telemetry = telemetry

    async def answer(
        self, request: ChatRequest, known: tuple[ScoredChunk, ...], *, top_k: int
    ) -> tuple[LLMResponse, tuple[ScoredChunk, ...]]:
        """Answer a request that has the chunks `known`; returns all chunks in their order.

        All later excerpts together have at most `context_chars`, as the first ones have.
        """
        policy = self._policy
        excerpts = Excerpts(policy.min_score, policy.context_chars, list(known))
        tool = _search_tool(self._library, excerpts, top_k, result_chars=policy.context_chars)
        loop = ToolLoop(self._model, [tool], policy.search_bounds, self._telemetry)
        answer = await loop.complete(request)
        return answer.response, tuple(excerpts.chunks)


def _search_tool(
    library: Searchable, excerpts: Excerpts, top_k: int, *, result_chars: int
) -> FunctionTool:
    async def search_documents(
        query: Annotated[
            str,
            Field(
                description="Words, or a whole question, in the language of the documents.",
                min_length=1,
                max_length=_MAX_QUERY_CHARS,
            ),
        ],
    ) -> str:
        """Search the documents by meaning. Returns excerpts that are not known yet, best first."""
        found = await library.search(query, top_k)
        known = {scored.chunk.id for scored in excerpts.chunks}
        lines = excerpts.add(scored for scored in found if scored.chunk.id not in known)
        return "\n".join(lines) or _NOTHING_NEW

    return function_tool(search_documents, result_chars=result_chars)
