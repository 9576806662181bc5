from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.llm.http import Connections
from app.llm.providers import streamed
from app.llm.providers.boundary import validated
from app.llm.providers.openai import convert, embeddings, embeddings_wire, wire
from app.llm.providers.openai.policy import DEFAULT_EMBEDDING_MODEL
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent

_PATH = "/chat/completions"
_EMBEDDINGS_PATH = "/embeddings"


class OpenAI:
    name = convert.PROVIDER

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = connections.to(
            self.name,
            policy.base_url,
            {"Authorization": f"Bearer {policy.key}"},
            convert.read_error,
        )

    async def complete(self, request: ChatRequest) -> LLMResponse:
        body = await self._http.post_json(_PATH, self._payload(request, stream=False))
        return convert.response_from_wire(validated(wire.COMPLETION, body, self.name))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        events = self._http.stream_events(_PATH, self._payload(request, stream=True))
        async with aclosing(streamed.read(convert.StreamedCompletion(), events)) as answer:
            async for event in answer:
                yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        model = self._policy.applied_to_embedding(request).model or DEFAULT_EMBEDDING_MODEL
        payload = embeddings.request_to_wire(request, model)
        body = await self._http.post_json(_EMBEDDINGS_PATH, payload)
        answer = validated(embeddings_wire.EMBEDDING_LIST, body, self.name)
        return embeddings.embeddings_from_wire(answer, len(request.texts))

    async def ping(self) -> None:
        await self._http.get("/models")

    def _payload(self, request: ChatRequest, *, stream: bool) -> wire.CompletionRequest:
        request = self._policy.applied_to(request)
        return convert.request_to_wire(request, request.model or self._policy.model, stream=stream)
