from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.guards.guard import Call, Guard
from app.llm.opened_stream import Answer, Observer, OpenedStream, StreamToOpen
from app.llm.types import ChatRequest, LLMResponse, StreamEvent, flight_key
from app.resilience.single_flight import SingleFlight

_log = structlog.get_logger(__name__)

_UNPAID = {"cached": True, "cost_usd": 0.0}


class Deduplicated(Guard):
    """Identical requests at the same time are one call, and share its answer or its stream.

    A caller that joins a running call gets the answer marked as `cached`: it is paid for once. The
    guards below log the request id of the first caller; the others have a line `llm.shared`.

    A `fresh` request is always a call of its own: its caller wants an answer that no other caller
    has, and two of them want two.
    """

    def __init__(self, *, metrics: GuardMetrics = NO_METRICS) -> None:
        self._metrics = metrics
        self._answers: SingleFlight[LLMResponse] = SingleFlight()
        self._streams: SingleFlight[StreamEvent] = SingleFlight()

    async def complete(
        self, request: ChatRequest, call: Call[ChatRequest, LLMResponse]
    ) -> LLMResponse:
        if request.fresh:
            return await call(request)
        key = flight_key(request)
        joined = self._joins(key, self._answers, stream=False)
        async with aclosing(self._answers.join(key, lambda: _answer(call, request))) as answers:
            response = await anext(answers)
        return response.model_copy(update=_UNPAID) if joined else response

    async def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> OpenedStream:
        if request.fresh:
            return await call(request)
        key = flight_key(request)
        joined = self._joins(key, self._streams, stream=True)
        events = self._streams.join(key, lambda: StreamToOpen(lambda: call(request)))
        opened = OpenedStream(await anext(events), events)
        return await opened.observe(_Unpaid()) if joined else opened

    def _joins(
        self,
        key: str,
        flights: SingleFlight[LLMResponse] | SingleFlight[StreamEvent],
        *,
        stream: bool,
    ) -> bool:
        joined = key in flights
        if joined:
            self._metrics.shared(stream=stream)
            _log.info("llm.shared", stream=stream)
        return joined


async def _answer(
    call: Call[ChatRequest, LLMResponse], request: ChatRequest
) -> AsyncGenerator[LLMResponse, None]:
    yield await call(request)


class _Unpaid(Observer):
    async def finished(self, answer: Answer) -> Answer:
        if isinstance(answer, LLMResponse):
            return answer.model_copy(update=_UNPAID)
        return answer
