import asyncio
from dataclasses import dataclass
from hashlib import sha256

import structlog

from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.guards.guard import Call, Guard
from app.llm.opened_stream import Answer, Observer, OpenedStream, StreamToOpen
from app.llm.types import ChatRequest, LLMResponse, StreamEvent
from app.resilience import deadline
from app.resilience.race import cancel_and_wait
from app.resilience.single_flight import SingleFlight, own_error

_log = structlog.get_logger(__name__)

_UNPAID = {"cached": True, "cost_usd": 0.0}


def flight_key(request: ChatRequest) -> str:
    """The key of requests that share a running call.

    The call has the deadline of its first caller. So callers with deadlines share a call if they allow
    the same time; the middleware ends the wait of each of them at its own deadline.
    """
    callers = deadline.current.get()
    allowed_s = None if callers is None else callers.allowed_s
    return sha256(repr((allowed_s, request)).encode()).hexdigest()


@dataclass(slots=True)
class _Flight:
    """A whole answer that is under way, and the number of callers that wait for it."""

    task: asyncio.Task[LLMResponse]
    callers: int = 0


class Deduplicated(Guard):
    """Identical requests at the same time are one call, and share its answer or its stream.

    A caller that joins a running call gets the answer marked as `cached`: it is paid for once. The
    guards below log the request id of the first caller; the others have a line `llm.shared`.

    The call runs in a task, because its first caller may leave before the others. When the last one
    leaves, the call is cancelled and awaited.

    A `fresh` request is always a call of its own: its caller wants an answer that no other caller
    has, and two of them want two.
    """

    def __init__(self, *, metrics: GuardMetrics = NO_METRICS) -> None:
        self._metrics = metrics
        self._answers: dict[str, _Flight] = {}
        self._streams: SingleFlight[StreamEvent] = SingleFlight()

    async def complete(
        self, request: ChatRequest, call: Call[ChatRequest, LLMResponse]
    ) -> LLMResponse:
        if request.fresh:
            return await call(request)
        key = flight_key(request)
        flight = self._answers.get(key)
        if flight is None or flight.task.done():
            flight = self._answers[key] = _Flight(asyncio.create_task(call(request)))
        else:
            self._report(stream=False)
        joined = flight.callers > 0
        flight.callers += 1
        try:
            await asyncio.wait([flight.task])
        finally:
            flight.callers -= 1
            if not flight.callers:
                await self._end(key, flight)
        if (error := flight.task.exception()) is not None:
            raise own_error(error)
        response = flight.task.result()
        return response.model_copy(update=_UNPAID) if joined else response

    async def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> OpenedStream:
        if request.fresh:
            return await call(request)
        key = flight_key(request)
        joined = key in self._streams
        if joined:
            self._report(stream=True)
        events = self._streams.join(key, lambda: StreamToOpen(lambda: call(request)))
        opened = OpenedStream(await anext(events), events)
        return await opened.observe(_Unpaid()) if joined else opened

    async def _end(self, key: str, flight: _Flight) -> None:
        """Forget the call of a caller that was the last one, and cancel it if it is not over."""
        if self._answers.get(key) is flight:
            del self._answers[key]
        if not flight.task.done():
            await cancel_and_wait([flight.task])
        elif not flight.task.cancelled():
            flight.task.exception()  # retrieved, or asyncio logs that it never was

    def _report(self, *, stream: bool) -> None:
        self._metrics.shared(stream=stream)
        _log.info("llm.shared", stream=stream)


class _Unpaid(Observer):
    async def finished(self, answer: Answer) -> Answer:
        if isinstance(answer, LLMResponse):
            return answer.model_copy(update=_UNPAID)
        return answer
