from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from openai import APIError, AsyncOpenAI, OpenAIError

from app.llm.http import Connections
from app.llm.providers import streamed
from app.llm.providers.boundary import validated
from app.llm.providers.openai import convert, embeddings, embeddings_wire, wire
from app.llm.providers.openai.policy import DEFAULT_EMBEDDING_MODEL
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.sdk.http import SDKHTTP, STREAM_HEADERS, as_event
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.streaming.sse import ServerSentEvent

if TYPE_CHECKING:
    from openai.types.chat.completion_create_params import (
        CompletionCreateParamsNonStreaming,
        CompletionCreateParamsStreaming,
    )

_END = ServerSentEvent("[DONE]")


class OpenAISDK:
    """`AsyncOpenAI` as a model. Requests and answers are converted where our own client's are."""

    name = "openai-sdk"

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = SDKHTTP(
            connections,
            self.name,
            convert.read_error,
            sdk_error=OpenAIError,
            is_last=lambda event: event.data == _END.data,
        )
        client = AsyncOpenAI(
            api_key=policy.key,
            base_url=policy.base_url,
            http_client=self._http.client(),
            timeout=connections.client.timeout,
            max_retries=0,
        )
        self._completions = client.chat.completions
        self._embeddings = client.embeddings
        self._models = client.models

    async def complete(self, request: ChatRequest) -> LLMResponse:
        payload = cast("CompletionCreateParamsNonStreaming", self._payload(request, stream=False))

        async def call() -> LLMResponse:
            raw = await self._completions.with_raw_response.create(**payload)
            return convert.response_from_wire(validated(wire.COMPLETION, raw.content, self.name))

        return await self._http.within_deadline(call())

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        events = self._http.paced(self._events(request))
        async with aclosing(streamed.read(convert.StreamedCompletion(), events)) as answer:
            async for event in answer:
                yield event

    async def _events(self, request: ChatRequest) -> AsyncGenerator[ServerSentEvent, None]:
        payload = cast("CompletionCreateParamsStreaming", self._payload(request, stream=True))
        call = self._completions.create(**payload, extra_headers=STREAM_HEADERS)
        async with await call as stream:
            try:
                async for chunk in stream:
                    yield as_event(chunk)
            except APIError as error:
                if error.body is None:
                    raise
                yield as_event({"error": error.body})
        yield _END  # the SDK keeps it to itself

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        model = self._policy.applied_to_embedding(request).model or DEFAULT_EMBEDDING_MODEL
        payload = embeddings.request_to_wire(request, model)

        async def call() -> Embeddings:
            raw = await self._embeddings.with_raw_response.create(**payload)
            answer = validated(embeddings_wire.EMBEDDING_LIST, raw.content, self.name)
            return embeddings.embeddings_from_wire(answer, len(request.texts))

        return await self._http.within_deadline(call())

    async def ping(self) -> None:
        await self._http.within_deadline(self._models.with_raw_response.list())

    def _payload(self, request: ChatRequest, *, stream: bool) -> wire.CompletionRequest:
        request = self._policy.applied_to(request)
        return convert.request_to_wire(request, request.model or self._policy.model, stream=stream)
