"""Every call to a model: timed, counted, priced and logged, whatever becomes of it."""

import logging
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing

import structlog

from app.llm.model import Model
from app.llm.prices import NO_PRICES, PriceList
from app.llm.types import (
    ChatRequest,
    Done,
    EmbeddingRequest,
    Embeddings,
    LLMResponse,
    StreamEvent,
    TextDelta,
    Usage,
)
from app.llm.wrappers.call import Call
from app.llm.wrappers.wrapper import Wrapper
from app.streaming.progress import reported
from app.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


class Instrumented(Wrapper):
    """A model with a witness.

    `models` are those that metrics name; a caller may ask for any other, and all of these are
    "other". `previews` writes the beginning of prompts and answers to the log. They are personal
    data: off, unless somebody debugs.
    """

    def __init__(
        self,
        model: Model,
        metrics: Metrics,
        *,
        prices: PriceList = NO_PRICES,
        models: Collection[str] = (),
        previews: bool = False,
    ) -> None:
        super().__init__(model)
        self._metrics = metrics
        self._prices = prices
        self._models = frozenset(models)
        self._previews = previews

    async def complete(self, request: ChatRequest) -> LLMResponse:
        with self._watched(request) as call:
            response = await self._model.complete(request)
            return call.answered(response, self._cost_usd(response))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        with self._watched(request, stream=True) as call:
            events = reported(self._model.stream(request), size=_characters, tell=call.progressed)
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Done):
                        response = event.response
                        yield Done(call.answered(response, self._cost_usd(response)))
                    else:
                        yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        with self._watched(request) as call:
            embeddings = await self._model.embed(request)
            tokens = embeddings.prompt_tokens
            usage = Usage(prompt_tokens=tokens, completion_tokens=0, total_tokens=tokens)
            cost_usd = self._prices.cost_usd(self.name, embeddings.model, usage)
            return call.embedded(embeddings, usage, cost_usd)

    def _cost_usd(self, response: LLMResponse) -> float | None:
        """Nothing for what came from the cache: it was paid for when it got there."""
        if response.cached:
            return 0.0
        return self._prices.cost_usd(self.name, response.model, response.usage)

    def _watched(self, request: ChatRequest | EmbeddingRequest, *, stream: bool = False) -> Call:
        self._metrics.llm_started(self.name)
        return Call(request, stream=stream, over=self._over)

    def _over(self, call: Call) -> None:
        self._count(call)
        self._report(call)

    def _count(self, call: Call) -> None:
        name, model = self.name, self._label(call)
        self._metrics.llm_request(name, call.operation, model, call.outcome, call.duration_s())
        if call.outcome != "ok" or call.usage is None:
            return
        self._metrics.llm_tokens(
            name,
            model,
            prompt=call.usage.prompt_tokens,
            completion=call.usage.completion_tokens,
        )
        if call.cost_usd is not None:
            self._metrics.llm_cost(name, model, call.cost_usd)
        if call.progress is not None and call.progress.first_s is not None:
            self._metrics.first_token(name, call.progress.first_s)
        if (token_s := call.token_s()) is not None:
            self._metrics.per_token(name, token_s)

    def _label(self, call: Call) -> str:
        """The name that was asked for; an answer may name the snapshot of a model."""
        for name in (call.request.model, call.model):
            if name is not None and name in self._models:
                return name
        return "other"

    def _report(self, call: Call) -> None:
        level = logging.WARNING if call.is_fault else logging.INFO
        previews = call.previews() if self._previews else {}
        _log.log(level, "llm.call", provider=self.name, **call.facts(), **previews)


def _characters(event: StreamEvent) -> int:
    return len(event.text) if isinstance(event, TextDelta) else 0
