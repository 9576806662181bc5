from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from app.llm.model import Model
from app.llm.types import ChatRequest, Done, LLMResponse, StreamEvent
from app.llm.wrappers.request_key import request_key
from app.llm.wrappers.wrapper import Wrapper
from app.resilience.single_flight import SingleFlight

_log = structlog.get_logger(__name__)


class Shared(Wrapper):
    """Equal requests at the same time are one call, and share its answer or its stream.

    Whoever came second gets it marked as `cached`: it was paid for once. Who asks everything below
    is the first, so its request id is the one in their lines; the others have `llm.shared`.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self._answers: SingleFlight[LLMResponse] = SingleFlight()
        self._streams: SingleFlight[StreamEvent] = SingleFlight()

    async def complete(self, request: ChatRequest) -> LLMResponse:
        key = request_key(request, provider=request.provider)
        shared = self._joins(key, self._answers, stream=False)
        async with aclosing(self._answers.join(key, lambda: self._answer(request))) as answers:
            response = await anext(answers)
        return _unpaid(response) if shared else response

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        key = request_key(request, provider=request.provider)
        shared = self._joins(key, self._streams, stream=True)
        async with aclosing(self._streams.join(key, lambda: self._model.stream(request))) as events:
            async for event in events:
                if shared and isinstance(event, Done):
                    yield Done(_unpaid(event.response))
                else:
                    yield event

    async def _answer(self, request: ChatRequest) -> AsyncGenerator[LLMResponse, None]:
        yield await self._model.complete(request)

    def _joins(
        self,
        key: str,
        flights: SingleFlight[LLMResponse] | SingleFlight[StreamEvent],
        *,
        stream: bool,
    ) -> bool:
        shared = key in flights
        if shared:
            _log.info("llm.shared", stream=stream)
        return shared


def _unpaid(response: LLMResponse) -> LLMResponse:
    return response.model_copy(update={"cached": True, "cost_usd": 0.0})
