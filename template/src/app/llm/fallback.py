from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, TypeVar

import structlog

from app.errors import (
    LimitReachedError,
    LLMError,
    ModelNotFoundError,
    NothingCanAnswerError,
    OverloadedError,
    ProviderTimeoutError,
    RequestRefusedError,
    UnknownModelError,
    UnknownProviderError,
    UnsupportedRequestError,
)
from app.llm.exchange import support_fields
from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.model import ChatModel, Model, OpeningModel, open_stream
from app.llm.opened_stream import OpenedStream
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse
from app.resilience.bulkhead import Bulkhead, waiting

_log = structlog.get_logger(__name__)

T = TypeVar("T")


# We refused the call, and nothing was sent.
_OWN_REFUSALS = (LimitReachedError, OverloadedError)


class _Skipped(NamedTuple):
    """A provider that was passed over, with its request and the reason."""

    model: ChatModel
    asked: ChatRequest
    error: LLMError


class Fallback(OpeningModel):
    """The first of several providers that answers; if none can, an old answer from the cache.

    The next provider is asked in an outage only. It is not asked for a mistake of the caller: a
    request that the provider refuses, or a model that the caller named and the provider does not
    have. A model of the settings that is not found is a mistake of ours, so the next one is asked.

    A request that names its provider gets an answer or an error of that provider only. `stale` has
    the last resort of each model, with the same names and in the same order.

    Overload is not an outage. A call that finds all connections of a provider busy goes to the next
    provider at once if that one has a free connection now. Otherwise it waits in the queue of the first
    provider, and ends with that queue's refusal (`OverloadedError`): the next provider would let it wait
    or refuse it as well. A request that names its model waits for the model's provider. `bulkheads` has
    the connections and queues by provider; one that is missing is never full.
    """

    def __init__(
        self,
        models: Sequence[Model],
        stale: Sequence[Model] = (),
        *,
        bulkheads: Mapping[str, Bulkhead] | None = None,
        metrics: GuardMetrics = NO_METRICS,
    ) -> None:
        self._models = tuple(models)
        self._bulkheads = bulkheads or {}
        self._stale = tuple(stale)
        self._metrics = metrics

    @property
    def name(self) -> str:
        return ",".join(model.name for model in self._models)

    async def complete(self, request: ChatRequest) -> LLMResponse:
        return await self._first(request, lambda model, asked: model.complete(asked))

    async def open_stream(self, request: ChatRequest) -> OpenedStream:
        return await self._first(request, open_stream)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Ask the first provider that has embeddings, and no other.

        Vectors of two models cannot be compared: comparing them raises no error, but the result has
        no meaning.
        """
        for model in self._models:
            try:
                return await model.embed(request)
            except UnsupportedRequestError:
                continue
        raise UnsupportedRequestError(f"No provider has embeddings; configured are: {self.name}")

    async def _first(
        self, request: ChatRequest, call: Callable[[ChatModel, ChatRequest], Awaitable[T]]
    ) -> T:
        if request.provider is not None:
            self._refuse_unknown(request.provider)
        causes: list[LLMError] = []
        skipped: list[_Skipped] = []
        given_up: ChatModel | None = None
        for model, asked in _chain(self._models, request):
            if given_up is not None:
                self._report(given_up, causes[-1])
                given_up = None
            try:
                return await self._ask(model, asked, request, call)
            except LLMError as error:
                if self._is_skipped(error, model, request):
                    skipped.append(_Skipped(model, asked, error))
                    continue
                if isinstance(error, ModelNotFoundError) and asked.model is not None:
                    raise _unknown_model(error, asked.model) from error
                if isinstance(error, (RequestRefusedError, *_OWN_REFUSALS)) and not causes:
                    raise
                causes.append(error)
                given_up = model
                if isinstance(error, _OWN_REFUSALS):
                    break  # the next provider would defeat our own limit, or is overloaded too
        return await self._last_resort(request, call, causes, skipped)

    async def _ask(
        self,
        model: ChatModel,
        asked: ChatRequest,
        request: ChatRequest,
        call: Callable[[ChatModel, ChatRequest], Awaitable[T]],
    ) -> T:
        """Call the model; without waiting for a connection if a later provider has a free one."""
        bulkhead = self._bulkheads.get(model.name)
        if bulkhead is None or not bulkhead.is_full or not self._has_room_after(model, request):
            return await call(model, asked)
        with waiting(allowed=False):
            return await call(model, asked)

    def _is_skipped(self, error: LLMError, model: ChatModel, request: ChatRequest) -> bool:
        """Whether nothing was sent, and another provider may well answer."""
        if isinstance(error, OverloadedError) and self._has_room_after(model, request):
            self._metrics.overflow(model.name)
            return True
        return isinstance(error, UnsupportedRequestError) and request.model is None

    def _has_room_after(self, model: ChatModel, request: ChatRequest) -> bool:
        """Whether a later provider of the chain has a free connection now."""
        if request.provider is not None or request.model is not None:
            return False
        names = [each.name for each in self._models]
        rooms = [self._bulkheads.get(name) for name in names[names.index(model.name) + 1 :]]
        return any(room is None or not room.is_full for room in rooms)

    async def _last_resort(
        self,
        request: ChatRequest,
        call: Callable[[ChatModel, ChatRequest], Awaitable[T]],
        causes: Sequence[LLMError],
        skipped: Sequence[_Skipped],
    ) -> T:
        """Wait for a provider that was skipped because it was busy, or take an old answer.

        Raises the summary of the failures if there is none, or the caller wants a new answer.
        """
        for each in skipped:
            if isinstance(each.error, OverloadedError):
                return await call(each.model, each.asked)
        for model, asked in _chain(() if request.fresh else self._stale, request):
            with suppress(LLMError):
                return await call(model, asked)
        raise _summary(causes or [skipped[0].error])

    def _refuse_unknown(self, provider: str) -> None:
        names = [model.name for model in self._models]
        if provider not in names:
            raise UnknownProviderError(
                f"This provider is not configured; these are: {', '.join(names)}"
            )

    def _report(self, model: ChatModel, error: LLMError) -> None:
        self._metrics.fallback(model.name)
        _log.warning(
            "llm.fallback",
            provider=model.name,
            error=type(error).__name__,
            status=error.status,
            **support_fields(error),
        )


def _chain(models: Sequence[Model], request: ChatRequest) -> Iterator[tuple[Model, ChatRequest]]:
    """The models to ask, each with its request."""
    chosen = [model for model in models if request.provider in {None, model.name}]
    for place, model in enumerate(chosen):
        # The name of a model is valid only for the provider that the caller wrote it for.
        yield model, replace(request, model=None) if place else request


def _unknown_model(error: ModelNotFoundError, model: str) -> UnknownModelError:
    return UnknownModelError(
        f"{error.provider} does not have the model {model}: {error.message}",
        provider=error.provider,
        status=error.status,
        provider_request_id=error.provider_request_id,
    )


def _summary(causes: Sequence[LLMError]) -> LLMError:
    if isinstance(causes[-1], _OWN_REFUSALS):
        return causes[-1]
    if len(causes) == 1 or all(isinstance(cause, ProviderTimeoutError) for cause in causes):
        return causes[0]
    return NothingCanAnswerError(causes)
