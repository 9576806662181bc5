from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, cast

from openai import AsyncOpenAI, OpenAIError

from app.llm.exchange import Exchange
from app.llm.http import Connections
from app.llm.providers import streamed
from app.llm.providers.openai import convert, embeddings, wire
from app.llm.providers.openai.streaming import StreamedCompletion
from app.llm.providers.policy import ProviderPolicy, without_list
from app.llm.providers.refused_fields import reporting_refused_fields
from app.llm.providers.sdk.http import SDKHTTP, STREAM_HEADERS
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent

if TYPE_CHECKING:
    from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming


class OpenAISDK:
    """`AsyncOpenAI` as a model. Requests and answers are converted where our own client's are."""

    name = "openai-sdk"

    def __init__(self, policy: ProviderPolicy, connections: Connections) -> None:
        self._policy = policy
        self._http = SDKHTTP(
            connections,
            policy.name or self.name,
            policy.key_headers,
            reporting_refused_fields(convert.read_error, policy),
            sdk_error=OpenAIError,
            deadline_header=policy.deadline_header,
        )
        client = AsyncOpenAI(
            api_key=policy.key,
            base_url=policy.address,
            default_query=policy.query,
            http_client=self._http.client(),
            timeout=self._http.timeout,
            max_retries=0,
        )
        self._completions = client.chat.completions
        self._embeddings = client.embeddings
        self._models = client.models

    async def complete(self, request: ChatRequest) -> LLMResponse:
        payload = self._payload(request, stream=False)
        parameters = cast("CompletionCreateParamsNonStreaming", payload)

        async def call() -> LLMResponse:
            raw = await self._completions.with_raw_response.create(**parameters)
            return convert.read_answer(raw.content, model=payload["model"], receipt=request.receipt)

        with Exchange() as exchange:
            return exchange.signed(await self._http.within_deadline(call(), exchange))

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        payload = self._payload(request, stream=True)
        parameters = cast("CompletionCreateParamsNonStreaming", payload)
        create = self._completions.with_streaming_response.create
        call = create(**parameters, extra_headers=STREAM_HEADERS)
        answer = StreamedCompletion(payload["model"])
        exchange = Exchange(lambda: answer.progress)
        events = self._http.paced(self._http.events(call, exchange), exchange)
        return streamed.read(answer, events, exchange, request.receipt)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        request = self._policy.applied_to_embedding(request)
        payload = embeddings.request_to_wire(request, self._policy.facts)
        payload.setdefault("encoding_format", "float")  # the SDK asks for base64 unless told

        async def call() -> Embeddings:
            raw = await self._embeddings.with_raw_response.create(**payload)
            return embeddings.read_answer(
                raw.content,
                count=len(request.texts),
                model=payload["model"],
                receipt=request.receipt,
            )

        with Exchange() as exchange:
            return await self._http.within_deadline(call(), exchange)

    async def ping(self) -> None:
        with without_list(), Exchange() as exchange:
            await self._http.within_deadline(self._models.with_raw_response.list(), exchange)

    def _payload(self, request: ChatRequest, *, stream: bool) -> wire.CompletionRequest:
        resolved = self._policy.applied_to(request)
        return convert.request_to_wire(resolved, resolved.model, self._policy.facts, stream=stream)
