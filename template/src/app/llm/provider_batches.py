"""A provider's batches for code that does not wait for them: what a batch needs besides its API.

`app.llm.batches.Batches` waits until a batch has ended. A job looks at its batch now and then instead
(`app.features.jobs.at_provider`), because a worker may be replaced meanwhile.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass

from app.errors import LLMError, UnsupportedRequestError
from app.llm import batch_sending
from app.llm.batch import BatchAPI, EncodedRequest, Outcome
from app.llm.batch_results import priced
from app.llm.costs import PriceList
from app.llm.guards.guard import Guard, stacked
from app.llm.model import ChatModel
from app.llm.types import (
    ChatRequest,
    Done,
    EmbeddingRequest,
    Embeddings,
    LLMResponse,
    StreamEvent,
    TextDelta,
)


@dataclass(frozen=True, slots=True)
class ProviderBatches:
    """`ceilings` are the guards that refuse requests: a batch must not go around them.

    `models` are the models that have a label of their own in metrics; all others are "other".
    """

    api: BatchAPI
    vendor: str
    prices: PriceList
    ceilings: Sequence[Guard] = ()
    models: Collection[str] = ()

    def label(self, model: str) -> str:
        """The configured name. An answer may name a dated snapshot of the model instead."""
        for name in self.models:
            if model == name or model.startswith(f"{name}-20"):
                return name
        return "other"

    def priced(self, outcome: Outcome) -> Outcome:
        """With the cost at the price of batches. The provider names the model in its answer."""
        name, prices = self.api.name, self.prices
        return priced(outcome, provider=name, vendor=self.vendor, model="", prices=prices)

    async def encoded(self, ask: Callable[[ChatModel], Awaitable[object]]) -> EncodedRequest:
        """The first request that `ask` sends to its model, as the provider takes it in a batch."""
        recorder = _Recorder(self.api.name)
        try:
            await ask(stacked(recorder, self.ceilings))
        except _RecordedError as recorded:
            return self._encoded(recorded.request)
        raise UnsupportedRequestError("nothing was asked of the model", provider=self.api.name)

    def _encoded(self, request: ChatRequest) -> EncodedRequest:
        name = self.api.name
        if request.provider not in (None, name):
            message = f"the batch goes to {name}, and not to {request.provider}"
            raise UnsupportedRequestError(message, provider=name)
        return batch_sending.encoded(self.api, request)


class Answered:
    """A chat model that has the answer of its first call, from a batch. Later calls go to `otherwise`.

    `opened` is entered around these: they are calls of their own.
    """

    def __init__(
        self,
        outcome: LLMResponse | LLMError,
        otherwise: ChatModel,
        opened: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self.name = otherwise.name
        self._outcome: LLMResponse | LLMError | None = outcome
        self._otherwise = otherwise
        self._opened = opened

    async def complete(self, request: ChatRequest, /) -> LLMResponse:
        if self._outcome is not None:
            return self._take(self._outcome)
        async with self._opened():
            return await self._otherwise.complete(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        if self._outcome is not None:
            response = self._take(self._outcome)
            if response.content:
                yield TextDelta(response.content)
            yield Done(response)
            return
        async with self._opened(), aclosing(self._otherwise.stream(request)) as events:
            async for event in events:
                yield event

    def _take(self, outcome: LLMResponse | LLMError) -> LLMResponse:
        self._outcome = None
        if isinstance(outcome, LLMError):
            raise outcome
        return outcome


class _RecordedError(Exception):
    """Ends the call of which only the request is wanted."""

    def __init__(self, request: ChatRequest) -> None:
        super().__init__()
        self.request = request


class _Recorder:
    """A model that does not answer: it hands out the request."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def complete(self, request: ChatRequest, /) -> LLMResponse:
        raise _RecordedError(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        raise _RecordedError(request)
        yield

    async def embed(self, _request: EmbeddingRequest, /) -> Embeddings:
        raise UnsupportedRequestError("batches are for chat only", provider=self.name)
