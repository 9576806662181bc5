"""Spans of calls to models, with the attributes of OpenTelemetry's GenAI conventions."""

import time
from contextlib import ExitStack

from opentelemetry.trace import SpanKind, Tracer

from app.errors import LLMError
from app.llm.guards.guard import Call, Guard, R, T, Work, watch
from app.llm.opened_stream import Answer, Observer, OpenedStream
from app.llm.span_attributes import (
    answer_attributes,
    answer_preview,
    failure_attributes,
    prompt_preview,
    request_attributes,
)
from app.llm.types import ChatRequest, TextDelta
from app.telemetry import conventions as semconv
from app.telemetry.tracing import Attributes, current, set_attributes, span_of


class Traced(Guard):
    """One span per call to a model, from the request to the end of the answer.

    Waits, cache hits and all attempts are inside, as the conventions want it. `previews` adds the
    beginning of the prompt and of the answer: personal data.
    """

    def __init__(self, tracer: Tracer, *, vendor: str = "", previews: bool = False) -> None:
        self._tracer = tracer
        self._vendor = vendor
        self._previews = previews

    async def around(self, request: R, call: Call[R, T], *, stream: bool = False) -> T:
        attributes = request_attributes(self._vendor or self.name, request, stream=stream)
        name = f"{attributes[semconv.OPERATION]} {request.model}"
        traced = _CallSpan(self._tracer, name, attributes, previews=self._previews)
        if self._previews and isinstance(request, ChatRequest):
            set_attributes(traced.span, prompt_preview(request))
        with current(traced.span):
            return await watch(traced, call(request))

    def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> Work[OpenedStream]:
        return self.around(request, call, stream=True)


class TracedAttempts(Guard):
    """One span per attempt, below `Retrying`: with the waits for its turn, and its failure.

    The provider gets this span as the parent of its own, so that its traces join ours.
    """

    def __init__(self, tracer: Tracer, *, vendor: str = "") -> None:
        self._tracer = tracer
        self._vendor = vendor

    async def around(self, request: R, call: Call[R, T]) -> T:
        attributes = {semconv.PROVIDER: self._vendor or self.name}
        attempt = _AnswerSpan(self._tracer, f"attempt {self.name}", attributes)
        with current(attempt.span):
            return await watch(attempt, call(request))


class _AnswerSpan(Observer):
    """A span that ends with the answer, or fails with the attempt."""

    def __init__(self, tracer: Tracer, name: str, attributes: Attributes) -> None:
        self._open = ExitStack()
        beginning = span_of(tracer, name, attributes, kind=SpanKind.CLIENT)
        self.span = self._open.enter_context(beginning)

    async def finished(self, answer: Answer) -> Answer:
        self._open.close()
        return answer

    async def failed(self, error: BaseException) -> None:
        if isinstance(error, LLMError):
            set_attributes(self.span, failure_attributes(error))
        self._open.__exit__(type(error), error, error.__traceback__)


class _CallSpan(_AnswerSpan):
    """The span of a whole call, with the attributes of its answer."""

    def __init__(
        self, tracer: Tracer, name: str, attributes: Attributes, *, previews: bool
    ) -> None:
        super().__init__(tracer, name, attributes)
        self._previews = previews
        self._started: float | None = time.perf_counter()

    def delta(self, _text: TextDelta) -> None:
        if self._started is not None:
            first_s = time.perf_counter() - self._started
            self.span.set_attribute(semconv.RESPONSE_FIRST_CHUNK_S, first_s)
            self._started = None

    async def finished(self, answer: Answer) -> Answer:
        set_attributes(self.span, answer_attributes(answer))
        if self._previews:
            set_attributes(self.span, answer_preview(answer))
        return await super().finished(answer)
