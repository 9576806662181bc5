from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.errors import UnsupportedRequest
from app.llm.http import Connections
from app.llm.providers import streamed
from app.llm.providers.anthropic import convert, wire
from app.llm.providers.boundary import validated
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent

_PATH = "/v1/messages"
# Pinned: the newest version refuses `temperature` for some models.
VERSION = "2023-06-01"


class AnthropicChat:
    name = convert.PROVIDER

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = connections.to(
            self.name,
            policy.base_url,
            {"x-api-key": policy.key, "anthropic-version": VERSION},
            convert.read_error,
        )

    async def complete(self, request: ChatRequest) -> LLMResponse:
        body = await self._http.post_json(_PATH, self._payload(request, stream=False))
        return convert.response_from_wire(validated(wire.MESSAGE, body, self.name))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        events = self._http.stream_events(_PATH, self._payload(request, stream=True))
        async with aclosing(streamed.read(convert.StreamedMessage(), events)) as answer:
            async for event in answer:
                yield event

    async def embed(self, _request: EmbeddingRequest) -> Embeddings:
        raise UnsupportedRequest(f"{self.name} has no embeddings", provider=self.name)

    async def ping(self) -> None:
        await self._http.get("/v1/models")

    def _payload(self, request: ChatRequest, *, stream: bool) -> wire.MessageRequest:
        request = self._policy.applied_to(request)
        return convert.request_to_wire(
            request,
            request.model or self._policy.model,
            request.max_tokens or self._policy.max_tokens,
            stream=stream,
        )
