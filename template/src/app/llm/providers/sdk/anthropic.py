from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from anthropic import AnthropicError, APIStatusError, AsyncAnthropic

from app.errors import UnsupportedRequest
from app.llm.http import Connections
from app.llm.providers import streamed
from app.llm.providers.anthropic import convert, wire
from app.llm.providers.anthropic.client import VERSION
from app.llm.providers.boundary import validated
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.sdk.http import SDKHTTP, STREAM_HEADERS, as_event
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.streaming.sse import ServerSentEvent

if TYPE_CHECKING:
    from anthropic.types.message_create_params import (
        MessageCreateParamsNonStreaming,
        MessageCreateParamsStreaming,
    )


class AnthropicSDK:
    """`AsyncAnthropic` as a model. Requests and answers are converted where our own client's are."""

    name = "anthropic-sdk"

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = SDKHTTP(
            connections,
            self.name,
            convert.read_error,
            sdk_error=AnthropicError,
            is_last=lambda event: event.event == "message_stop",
        )
        client = AsyncAnthropic(
            api_key=policy.key,
            base_url=policy.base_url,
            http_client=self._http.client(),
            timeout=connections.client.timeout,
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
            return convert.response_from_wire(validated(wire.MESSAGE, await raw.read(), self.name))

        return await self._http.within_deadline(call())

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        events = self._http.paced(self._events(request))
        async with aclosing(streamed.read(convert.StreamedMessage(), events)) as answer:
            async for event in answer:
                yield event

    async def _events(self, request: ChatRequest) -> AsyncGenerator[ServerSentEvent, None]:
        payload, extra = self._parameters(request, stream=True)
        parameters = cast("MessageCreateParamsStreaming", payload)
        call = self._messages.create(**parameters, extra_body=extra, extra_headers=STREAM_HEADERS)
        async with await call as stream:
            try:
                async for event in stream:
                    yield as_event(event)
            except APIStatusError as error:
                yield as_event(error.body)

    async def embed(self, _request: EmbeddingRequest) -> Embeddings:
        raise UnsupportedRequest(f"{self.name} has no embeddings", provider=self.name)

    async def ping(self) -> None:
        await self._http.within_deadline(self._models.with_raw_response.list())

    def _parameters(
        self, request: ChatRequest, *, stream: bool
    ) -> tuple[wire.MessageRequest, dict[str, object]]:
        """The SDK dropped `temperature`, which newer models refuse. Those that take it still do."""
        request = self._policy.applied_to(request)
        payload = convert.request_to_wire(
            request,
            request.model or self._policy.model,
            request.max_tokens or self._policy.max_tokens,
            stream=stream,
        )
        temperature = payload.pop("temperature", None)
        return payload, {} if temperature is None else {"temperature": temperature}
