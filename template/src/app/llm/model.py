"""The protocols of providers and of models, and what opens a stream.

A `Model` can be called. A provider's client is one, and so is a provider behind its guards
(`app.llm.guards.guard`). Code that only chats, or only embeds, asks for a `ChatModel` or an
`EmbeddingModel`.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Protocol

from app.errors import MalformedAnswerError
from app.llm.opened_stream import OpenedStream
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent


class ChatModel(Protocol):
    @property
    def name(self) -> str:
        """The provider's name, as in `LLM_PROVIDERS`."""
        ...

    def complete(self, request: ChatRequest, /) -> Coroutine[None, None, LLMResponse]:
        """Answer in one piece, or raise an `LLMError`."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Yield `TextDelta`s and one `Done`, or raise an `LLMError`, before or between them.

        The caller closes the generator (`contextlib.aclosing`): that ends the connection to the
        provider when the caller leaves early.
        """
        ...


class EmbeddingModel(Protocol):
    @property
    def name(self) -> str: ...

    def embed(self, request: EmbeddingRequest, /) -> Coroutine[None, None, Embeddings]:
        """Turn each text into a vector, or raise an `LLMError`; no vector is ever missing.

        A provider that has no embeddings raises `UnsupportedRequestError`.
        """
        ...


class Model(ChatModel, EmbeddingModel, Protocol):
    """Both halves: what a provider offers, and what a guard stands in front of."""


class Provider(Model, Protocol):
    """A client of a provider's API."""

    async def ping(self) -> None:
        """Check that the provider answers our key, with a call that costs nothing.

        Raises an `LLMError` when the provider is down or refuses the key.
        """
        ...


class OpeningModel(ABC):
    """A model that opens its streams itself: a call returns when the first event is there."""

    @abstractmethod
    def open_stream(self, request: ChatRequest) -> Coroutine[None, None, OpenedStream]: ...

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        async with aclosing(await self.open_stream(request)) as events:
            async for event in events:
                yield event


async def open_stream(model: ChatModel, request: ChatRequest) -> OpenedStream:
    """Wait for the first event of a stream. The caller closes what it gets."""
    if isinstance(model, OpeningModel):
        return await model.open_stream(request)
    events = model.stream(request)
    async for first in events:
        return OpenedStream(first, events)
    raise MalformedAnswerError(f"{model.name} sent a stream without an event", provider=model.name)
