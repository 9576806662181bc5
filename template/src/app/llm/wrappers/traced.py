import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from app.errors import LLMError
from app.llm.model import Model
from app.llm.providers.policy import vendor
from app.llm.types import (
    ChatRequest,
    Done,
    EmbeddingRequest,
    Embeddings,
    LLMResponse,
    StreamEvent,
)
from app.llm.wrappers import span_facts as facts
from app.llm.wrappers.wrapper import Wrapper
from app.telemetry.conventions import HTTP_STATUS, PROVIDER, RESPONSE_FIRST_CHUNK_S
from app.telemetry.tracing import Span, Tracer, inside


class Traced(Wrapper):
    """One span per call to a model, from the question to the last word of the answer.

    Waits, cache hits and all attempts are inside, as the conventions want it. `previews` adds the
    beginning of the prompt and of the answer: personal data.
    """

    def __init__(self, model: Model, tracer: Tracer, *, previews: bool = False) -> None:
        super().__init__(model)
        self._tracer = tracer
        self._previews = previews

    async def complete(self, request: ChatRequest) -> LLMResponse:
        with self._asking(request, stream=False) as span, span.current():
            response = await self._model.complete(request)
            self._answered(span, response)
            return response

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        started: float | None = time.perf_counter()
        with self._asking(request, stream=True) as span:
            async with aclosing(inside(span, self._model.stream(request))) as events:
                async for event in events:
                    if started is not None:
                        span.note({RESPONSE_FIRST_CHUNK_S: time.perf_counter() - started})
                        started = None
                    if isinstance(event, Done):
                        self._answered(span, event.response)
                    yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        name = f"embeddings {request.model}"
        told = facts.texts(self.name, request)
        with self._tracer.span(name, told, kind="client") as span, span.current():
            embeddings = await self._model.embed(request)
            span.note(facts.vectors(embeddings))
            return embeddings

    @contextmanager
    def _asking(self, request: ChatRequest, *, stream: bool) -> Iterator[Span]:
        told = facts.question(self.name, request, stream=stream)
        with self._tracer.span(f"chat {request.model}", told, kind="client") as span:
            if self._previews:
                span.note(facts.question_preview(request))
            yield span

    def _answered(self, span: Span, response: LLMResponse) -> None:
        span.note(facts.answer(response))
        if self._previews:
            span.note(facts.answer_preview(response))


class TracedAttempts(Wrapper):
    """One span per attempt, below `Retrying`: with the waits for its turn, and how it failed.

    The provider gets this span as the parent of its own, so that its traces join ours.
    """

    def __init__(self, model: Model, tracer: Tracer) -> None:
        super().__init__(model)
        self._tracer = tracer

    async def complete(self, request: ChatRequest) -> LLMResponse:
        with self._attempt() as span, span.current():
            return await self._model.complete(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        with self._attempt() as span:
            async with aclosing(inside(span, self._model.stream(request))) as events:
                async for event in events:
                    yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        with self._attempt() as span, span.current():
            return await self._model.embed(request)

    @contextmanager
    def _attempt(self) -> Iterator[Span]:
        told = {PROVIDER: vendor(self.name)}
        with self._tracer.span(f"attempt {self.name}", told, kind="client") as span:
            try:
                yield span
            except LLMError as error:
                span.note({HTTP_STATUS: error.status})
                raise
