from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, cast

from anthropic import AnthropicError, AsyncAnthropic

from app.errors import UnsupportedRequestError
from app.llm.exchange import Exchange
from app.llm.http import Connections
from app.llm.providers import streamed
from app.llm.providers.anthropic import convert, wire
from app.llm.providers.anthropic.client import VERSION
from app.llm.providers.anthropic.streaming import StreamedMessage
from app.llm.providers.policy import ProviderPolicy, without_list
from app.llm.providers.refused_fields import reporting_refused_fields
from app.llm.providers.sdk.http import SDKHTTP, STREAM_HEADERS
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent

if TYPE_CHECKING:
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming

# Parameters that the SDK no longer has.
_DROPPED = {"temperature", "top_p"}


class AnthropicSDK:
    """`AsyncAnthropic` as a model. Requests and answers are converted where our own client's are."""

    name = "anthropic-sdk"

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = SDKHTTP(
            connections,
            policy.name or self.name,
            policy.key_headers,
            reporting_refused_fields(convert.read_error, policy),
            sdk_error=AnthropicError,
            deadline_header=policy.deadline_header,
        )
        client = AsyncAnthropic(
            api_key=policy.key,
            base_url=policy.address,
            default_query=policy.query,
            http_client=self._http.client(),
            timeout=self._http.timeout,
            max_retries=0,
            default_headers={"anthropic-version": VERSION},  # the one that our wire format is of
        )
        self._messages = client.messages
        self._models = client.models

    async def complete(self, request: ChatRequest) -> LLMResponse:
        payload, extra = self._parameters(request, stream=False)
        parameters = cast("MessageCreateParamsNonStreaming", payload)

        async def call() -> LLMResponse:
            raw = await self._messages.with_raw_response.create(**parameters, extra_body=extra)
            body = await raw.read()
            return convert.read_answer(body, model=payload["model"], receipt=request.receipt)

        with Exchange() as exchange:
            return exchange.signed(await self._http.within_deadline(call(), exchange))

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        payload, extra = self._parameters(request, stream=True)
        parameters = cast("MessageCreateParamsNonStreaming", payload)
        create = self._messages.with_streaming_response.create
        call = create(**parameters, extra_body=extra, extra_headers=STREAM_HEADERS)
        answer = StreamedMessage(payload["model"])
        exchange = Exchange(lambda: answer.progress)
        events = self._http.paced(self._http.events(call, exchange), exchange)
        return streamed.read(answer, events, exchange, request.receipt)

    async def embed(self, _request: EmbeddingRequest) -> Embeddings:
        raise UnsupportedRequestError(f"{self.name} has no embeddings", provider=self.name)

    async def ping(self) -> None:
        with without_list(), Exchange() as exchange:
            await self._http.within_deadline(self._models.with_raw_response.list(), exchange)

    def _parameters(
        self, request: ChatRequest, *, stream: bool
    ) -> tuple[wire.MessageRequest, dict[str, object]]:
        """The payload without the fields that the SDK dropped, and these: older models still take them."""
        resolved = self._policy.applied_to(request)
        payload = convert.request_to_wire(
            resolved,
            resolved.model,
            resolved.max_tokens,
            self._policy.facts,
            stream=stream,
        )
        extra = {name: value for name, value in payload.items() if name in _DROPPED}
        kept = {name: value for name, value in payload.items() if name not in _DROPPED}
        return cast("wire.MessageRequest", kept), extra
