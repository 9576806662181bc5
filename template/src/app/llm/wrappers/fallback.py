from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TypeVar

import structlog

from app.errors import (
    LimitReached,
    LLMError,
    NothingCanAnswer,
    RequestRefused,
    TimedOut,
    UnknownProvider,
    UnsupportedRequest,
)
from app.llm.model import ChatModel, Model
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.llm.wrappers.meter import NOT_METERED, Meter
from app.llm.wrappers.opened import open_stream

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class Fallback:
    """The first of several models that answers; when none can, what one of them said before.

    A request that names its provider gets that one or its error, and nobody else's answer. `stale`
    are the last resorts, by the same names and in the same order as the models.
    """

    def __init__(
        self,
        models: Sequence[Model],
        stale: Sequence[Model] = (),
        *,
        meter: Meter = NOT_METERED,
    ) -> None:
        self._models = tuple(models)
        self._stale = tuple(stale)
        self._meter = meter

    @property
    def name(self) -> str:
        return ",".join(model.name for model in self._models)

    async def complete(self, request: ChatRequest) -> LLMResponse:
        return await self._first(request, lambda model, asked: model.complete(asked))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        opened = await self._first(request, open_stream)
        async with aclosing(opened.rest) as rest:
            yield opened.first
            async for event in rest:
                yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Ask the first that has embeddings, and nobody else.

        Vectors of two models have nothing to do with each other: mixed, they would be compared all
        the same, without an error and without a meaning.
        """
        for model in self._models:
            try:
                return await model.embed(request)
            except UnsupportedRequest:
                continue
        raise UnsupportedRequest(f"No provider has embeddings; configured are: {self.name}")

    async def _first(
        self, request: ChatRequest, call: Callable[[ChatModel, ChatRequest], Awaitable[T]]
    ) -> T:
        self._refuse_unknown(request)
        causes: list[LLMError] = []
        given_up: ChatModel | None = None
        for model, asked in _chain(self._models, request):
            if given_up is not None:
                self._report(given_up, causes[-1])
            try:
                return await call(model, asked)
            except LLMError as error:
                if isinstance(error, RequestRefused) and not causes:
                    raise  # the caller's mistake, which the next provider would only hide
                if isinstance(error, LimitReached):
                    raise  # a limit that the next provider makes up for is no limit
                causes.append(error)
                given_up = model
        for model, asked in _chain(self._stale, request):
            with suppress(LLMError):
                return await call(model, asked)
        raise _summary(causes)

    def _refuse_unknown(self, request: ChatRequest) -> None:
        names = [model.name for model in self._models]
        if request.provider is not None and request.provider not in names:
            raise UnknownProvider(f"This provider is not configured; these are: {', '.join(names)}")

    def _report(self, model: ChatModel, error: LLMError) -> None:
        self._meter.fallback(model.name)
        _log.warning(
            "llm.fallback",
            provider=model.name,
            error=type(error).__name__,
            status=error.status,
        )


def _chain(models: Sequence[Model], request: ChatRequest) -> Iterator[tuple[Model, ChatRequest]]:
    """Who is asked, and what."""
    chosen = [model for model in models if request.provider in {None, model.name}]
    for place, model in enumerate(chosen):
        # A model's name means something to the provider it was written for only.
        yield model, replace(request, model=None) if place else request


def _summary(causes: Sequence[LLMError]) -> LLMError:
    if len(causes) == 1 or all(isinstance(cause, TimedOut) for cause in causes):
        return causes[0]
    return NothingCanAnswer(causes)
