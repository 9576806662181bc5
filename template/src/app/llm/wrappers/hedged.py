from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from app.errors import LLMError
from app.llm.model import Model
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.llm.wrappers.meter import NOT_METERED, Meter
from app.llm.wrappers.opened import OpenedStream, open_stream
from app.llm.wrappers.wrapper import Wrapper
from app.resilience.hedge import Hedge, HedgePolicy

_log = structlog.get_logger(__name__)


class Hedged(Wrapper):
    """Asks a second time when an answer, or a stream's first event, takes long.

    The second time `alternative` is asked: the same providers in another order. Not when the request
    names a provider or a model, because a name means something to its provider only; and not for
    embeddings, because vectors of two models have nothing to do with each other.

    A stream is opened in one task and read in another: nothing below may depend on its task.
    """

    def __init__(
        self,
        model: Model,
        policy: HedgePolicy,
        *,
        alternative: Model | None = None,
        meter: Meter = NOT_METERED,
    ) -> None:
        super().__init__(model)
        self._meter = meter
        self._alternative = alternative or model
        self._answers = self._hedge(policy)
        self._first_events = self._hedge(policy)
        self._embeddings = self._hedge(policy)

    async def complete(self, request: ChatRequest) -> LLMResponse:
        second = self._second(request)
        return await self._answers(
            lambda: self._model.complete(request), lambda: second.complete(request)
        )

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        second = self._second(request)
        opened = await self._first_events(
            lambda: open_stream(self._model, request),
            lambda: open_stream(second, request),
            discard=_close,
        )
        async with aclosing(opened.rest) as rest:
            yield opened.first
            async for event in rest:
                yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        return await self._embeddings(
            lambda: self._model.embed(request), lambda: self._model.embed(request)
        )

    def _second(self, request: ChatRequest) -> Model:
        named = request.provider is not None or request.model is not None
        return self._model if named else self._alternative

    def _hedge(self, policy: HedgePolicy) -> Hedge:
        return Hedge(policy, catch=LLMError, report=self._report)

    def _report(self, after_s: float, winner: int, /) -> None:
        self._meter.hedge(self.name, won=winner > 0)
        _log.info("llm.hedge", after_s=round(after_s, 3), won=("first", "second")[winner])


async def _close(opened: OpenedStream) -> None:
    await opened.rest.aclose()
