from collections.abc import AsyncGenerator

from app.llm.exchange import Exchange
from app.llm.http import Connections
from app.llm.providers import streamed
from app.llm.providers.openai import convert, embeddings, wire
from app.llm.providers.openai.streaming import StreamedCompletion
from app.llm.providers.policy import ProviderPolicy, without_list
from app.llm.providers.refused_fields import reporting_refused_fields
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent

_PATH = "/chat/completions"
_EMBEDDINGS_PATH = "/embeddings"


class OpenAI:
    """Calls OpenAI's Chat Completions and Embeddings APIs over HTTP."""

    name = convert.PROVIDER

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = connections.to(
            policy.name or self.name,
            policy.base_url,
            policy.key_headers,
            reporting_refused_fields(convert.read_error, policy),
            policy.deadline_header,
        )

    async def complete(self, request: ChatRequest) -> LLMResponse:
        with Exchange() as exchange:
            payload = self._payload(request, stream=False)
            body = await self._http.post_json(_PATH, payload, exchange)
            answer = convert.read_answer(body, model=payload["model"], receipt=request.receipt)
            return exchange.signed(answer)

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        payload = self._payload(request, stream=True)
        answer = StreamedCompletion(payload["model"])
        exchange = Exchange(lambda: answer.progress)
        events = self._http.stream_events(_PATH, payload, exchange)
        return streamed.read(answer, events, exchange, request.receipt)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        request = self._policy.applied_to_embedding(request)
        payload = embeddings.request_to_wire(request, self._policy.facts)
        with Exchange() as exchange:
            body = await self._http.post_json(_EMBEDDINGS_PATH, payload, exchange)
            return embeddings.read_answer(
                body, count=len(request.texts), model=payload["model"], receipt=request.receipt
            )

    async def ping(self) -> None:
        with without_list():
            await self._http.get("/models")

    def _payload(self, request: ChatRequest, *, stream: bool) -> wire.CompletionRequest:
        resolved = self._policy.applied_to(request)
        return convert.request_to_wire(resolved, resolved.model, self._policy.facts, stream=stream)
