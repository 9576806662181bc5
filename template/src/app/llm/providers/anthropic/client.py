from collections.abc import AsyncGenerator

from app.errors import UnsupportedRequestError
from app.llm.exchange import Exchange
from app.llm.http import Connections
from app.llm.providers import streamed
from app.llm.providers.anthropic import convert, wire
from app.llm.providers.anthropic.streaming import StreamedMessage
from app.llm.providers.policy import ProviderPolicy, without_list
from app.llm.providers.refused_fields import reporting_refused_fields
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent

_PATH = "/v1/messages"
# Pinned: the newest version refuses `temperature` for some models.
VERSION = "2023-06-01"


class AnthropicChat:
    """Calls Anthropic's Messages API over HTTP."""

    name = convert.PROVIDER

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = connections.to(
            policy.name or self.name,
            policy.base_url,
            {**policy.key_headers, "anthropic-version": VERSION},
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
        answer = StreamedMessage(payload["model"])
        exchange = Exchange(lambda: answer.progress)
        events = self._http.stream_events(_PATH, payload, exchange)
        return streamed.read(answer, events, exchange, request.receipt)

    async def embed(self, _request: EmbeddingRequest) -> Embeddings:
        raise UnsupportedRequestError(f"{self.name} has no embeddings", provider=self.name)

    async def ping(self) -> None:
        with without_list():
            await self._http.get("/v1/models")

    def _payload(self, request: ChatRequest, *, stream: bool) -> wire.MessageRequest:
        resolved = self._policy.applied_to(request)
        return convert.request_to_wire(
            resolved,
            resolved.model,
            resolved.max_tokens,
            self._policy.facts,
            stream=stream,
        )
