"""Answers from documents, with citations of the chunks they are based on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256

from opentelemetry.trace import Tracer

from app.backend import Check, Shared
from app.errors import MalformedAnswerError, RequestRefusedError, UnsupportedRequestError
from app.llm.embedding_batches import EmbeddingBatches
from app.llm.model import ChatModel
from app.llm.tools.telemetry import NO_METRICS, ToolMetrics, ToolTelemetry
from app.llm.types import LLMResponse, PromptVersion
from app.rag.library import Library
from app.rag.policy import DocumentsPolicy
from app.rag.prompt import ASK, ASK_WITH_SEARCH, NOT_IN_THE_DOCUMENTS, rag_prompt
from app.rag.search_tool import SearchAgain
from app.rag.searchable import Searchable
from app.rag.traced import TracedLibrary
from app.rag.types import Embed, Embedded, ScoredChunk
from app.telemetry.tracing import OFF


@dataclass(frozen=True, slots=True)
class DocumentAnswer:
    """`[1]` in the text is the first of the chunks. `response` and `prompt` are None without a model."""

    text: str
    chunks: tuple[ScoredChunk, ...] = ()
    response: LLMResponse | None = None
    prompt: PromptVersion | None = None


class DocumentQA:
    """Answers questions from a library with a model, or answers that the documents do not tell.

    If no chunk is similar enough to the question, the model is not called. With `searching`, the
    model may search again.
    """

    def __init__(
        self,
        model: ChatModel,
        library: Searchable,
        policy: DocumentsPolicy,
        searching: SearchAgain | None = None,
    ) -> None:
        self.library = library
        self._model = model
        self._policy = policy
        self._searching = searching

    @property
    def checks(self) -> dict[str, Check]:
        """What `/readyz` asks of the documents, by name."""
        return {**self.library.checks, "documents": self.library.is_ready}

    async def ask(
        self, question: str, *, top_k: int | None = None, tenant: str | None = None
    ) -> DocumentAnswer:
        """Answer a question. Raises `LLMError` if the search or all models fail."""
        k = top_k or self._policy.top_k
        chunks = await self.library.search(question, k)
        prompt = rag_prompt(
            question,
            chunks,
            min_score=self._policy.min_score,
            max_chars=self._policy.context_chars,
            prompt=ASK if self._searching is None else ASK_WITH_SEARCH,
            tenant=tenant,
        )
        if prompt is None:
            return DocumentAnswer(NOT_IN_THE_DOCUMENTS)
        request = prompt.request
        if self._searching is None:
            response, shown = await self._model.complete(request), prompt.chunks
        else:
            response, shown = await self._searching.answer(request, prompt.chunks, top_k=k)
        return DocumentAnswer(response.content, shown, response, request.prompt)


@asynccontextmanager
async def open_documents(
    chat: ChatModel,
    embeddings: EmbeddingBatches,
    policy: DocumentsPolicy,
    *,
    tracer: Tracer = OFF,
    previews: bool = False,
    metrics: ToolMetrics = NO_METRICS,
    shared: Shared | None = None,
) -> AsyncIterator[DocumentQA]:
    """Open the documents for questions: for `/v1/ask`, and for a script that has no HTTP layer.

    The store `redis` needs the `shared` Redis of all processes.
    """
    embed = embedding_by(embeddings)
    async with open_library(policy, embed, shared, previews=previews) as library:
        searched: Searchable = library
        if tracer is not OFF:
            searched = TracedLibrary(library, tracer, previews=previews)
        searching = None
        if policy.search_tool:
            telemetry = ToolTelemetry(metrics, tracer, previews)
            searching = SearchAgain(chat, searched, policy, telemetry)
        yield DocumentQA(chat, searched, policy, searching)


def open_library(
    policy: DocumentsPolicy, embed: Embed, shared: Shared | None, *, previews: bool = False
) -> AbstractAsyncContextManager[Searchable]:
    """Open the documents for searches, in the store of the policy."""
    if policy.store == "memory":
        return aclosing(Library(policy, embed, previews=previews))
    if policy.store == "postgres":
        # Of the extra `postgres`.
        from app.rag.shared.postgres.opening import open_postgres_library  # noqa: PLC0415

        return open_postgres_library(policy, embed, previews=previews)
    if shared is None:
        raise ValueError("DOCUMENTS_STORE=redis needs REDIS_URL")
    # redis-py takes 6 MB, and a service without a Redis does not need it.
    from app.rag.shared.redis.opening import open_redis_library  # noqa: PLC0415

    return open_redis_library(policy, embed, shared, previews=previews)


def embedding_by(batches: EmbeddingBatches) -> Embed:
    """Adapt `EmbeddingBatches` for the library, which asks for nothing but vectors.

    The address of the provider becomes part of the model's name, as a hash: two servers, for
    example the mock API and a real provider, may give different models the same name.
    """
    at = f"@{sha256(batches.address.encode()).hexdigest()[:12]}" if batches.address else ""

    async def embed(texts: Sequence[str]) -> Embedded:
        try:
            batch = await batches.embed(texts)
        except UnsupportedRequestError:
            raise
        except (RequestRefusedError, MalformedAnswerError) as error:  # every text failed
            return Embedded("", [error] * len(texts))
        return Embedded(batch.model + at, batch.items)

    return embed
