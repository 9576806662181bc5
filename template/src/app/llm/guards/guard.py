"""The base class of guards, and how guards and a provider become one model.

A guard is middleware around calls to a provider, as Starlette's is around HTTP requests:

    class RateLimited(Guard):
        async def around(self, request: R, call: Call[R, T]) -> T:
            await self._wait_for_turn()
            return await call(request)

    model = stacked(provider, [Cached(cache), Retrying(policy), RateLimited(limiter)])

`app.wiring` has the order of all guards in one list, from the outside in.
"""

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TypeVar

from app.llm.model import Model, OpeningModel, open_stream
from app.llm.opened_stream import Observer, OpenedStream
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse

R = TypeVar("R", ChatRequest, EmbeddingRequest)
T = TypeVar("T", LLMResponse, OpenedStream, Embeddings)
Question = TypeVar("Question")
Reply = TypeVar("Reply")

Work = Coroutine[None, None, Reply]
Call = Callable[[Question], Work[Reply]]


class Guard:
    """Override `around`: it stands around every call.

    A streamed call returns when the stream's first event is there; `watch` shows the rest of it to an
    `Observer`. Override `complete`, `open_stream` or `embed` where these have to differ.

    A guard has a state of its own, so it stands in front of one provider only.
    """

    name = ""

    def protect(self, name: str) -> None:
        """`stacked` says which provider this guard stands in front of."""
        if self.name not in {"", name}:
            raise ValueError(f"{type(self).__name__} guards {self.name} already, not {name}")
        self.name = name

    async def around(self, request: R, call: Call[R, T]) -> T:
        return await call(request)

    def complete(
        self, request: ChatRequest, call: Call[ChatRequest, LLMResponse]
    ) -> Work[LLMResponse]:
        return self.around(request, call)

    def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> Work[OpenedStream]:
        return self.around(request, call)

    def embed(
        self, request: EmbeddingRequest, call: Call[EmbeddingRequest, Embeddings]
    ) -> Work[Embeddings]:
        return self.around(request, call)


class Guarded(OpeningModel):
    """A guard and the model behind it, as one model. A call runs the guard's own functions only."""

    def __init__(self, guard: Guard, model: Model) -> None:
        guard.protect(model.name)
        self.name = model.name
        kind = type(guard)
        complete = guard.around if kind.complete is Guard.complete else guard.complete
        embed = guard.around if kind.embed is Guard.embed else guard.embed
        opening = (
            model.open_stream if isinstance(model, OpeningModel) else partial(open_stream, model)
        )
        self.complete: Call[ChatRequest, LLMResponse] = partial(complete, call=model.complete)
        self.embed: Call[EmbeddingRequest, Embeddings] = partial(embed, call=model.embed)
        self._open_stream = partial(guard.open_stream, call=opening)

    def open_stream(self, request: ChatRequest) -> Work[OpenedStream]:
        return self._open_stream(request)


def stacked(model: Model, guards: Sequence[Guard]) -> Model:
    """Put guards in front of a model; the first in the list is the outermost."""
    for guard in reversed(guards):
        model = Guarded(guard, model)
    return model


async def watch(observer: Observer, work: Work[T]) -> T:
    """Await a call and tell `observer` what becomes of it: a stream when it ends, others at once."""
    try:
        answer = await work
    except BaseException as error:
        await observer.failed(error)
        raise
    if isinstance(answer, OpenedStream):
        return await answer.observe(observer)
    return await observer.finished(answer)


class WithDefaults(Guard):
    """Fills in what a request leaves to the settings, so that every guard below knows all parameters.

    A log line names them, a cache key depends on them.
    """

    def __init__(self, policy: ProviderPolicy) -> None:
        self._policy = policy

    def complete(
        self, request: ChatRequest, call: Call[ChatRequest, LLMResponse]
    ) -> Work[LLMResponse]:
        return call(self._policy.applied_to(request))

    def open_stream(
        self, request: ChatRequest, call: Call[ChatRequest, OpenedStream]
    ) -> Work[OpenedStream]:
        return call(self._policy.applied_to(request))

    def embed(
        self, request: EmbeddingRequest, call: Call[EmbeddingRequest, Embeddings]
    ) -> Work[Embeddings]:
        return call(self._policy.applied_to_embedding(request))
