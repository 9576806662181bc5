"""The protocols that every provider and every guard around a provider speaks.

A guard (retry, cache, fallback …) is a class that takes a `Model` and is a `Model`, so guards stack
in any order; `app.wiring` decides the order in one place. Who only chats, or only embeds, asks for
the half that it needs.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent


class ChatModel(Protocol):
    @property
    def name(self) -> str:
        """The provider's name, as in `LLM_PROVIDERS`."""
        ...

    async def complete(self, request: ChatRequest) -> LLMResponse:
        """Answer in one piece, or raise an `LLMError`."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        """Yield `TextDelta`s and one `Done`, or raise an `LLMError`, before or between them.

        The caller closes the generator (`contextlib.aclosing`): that is what ends the connection to
        the provider when nobody listens any more.
        """
        ...


class EmbeddingModel(Protocol):
    @property
    def name(self) -> str: ...

    async def embed(self, request: EmbeddingRequest, /) -> Embeddings:
        """Turn each text into a vector, or raise an `LLMError`; no vector is ever missing.

        A provider that has no embeddings raises `UnsupportedRequest`.
        """
        ...


class Model(ChatModel, EmbeddingModel, Protocol):
    """Both halves: what a provider offers, and what a guard stands in front of."""


class Provider(Model, Protocol):
    """A model at the end of a wire."""

    async def ping(self) -> None:
        """Find out, with a call that costs nothing, whether the provider answers us.

        Raises an `LLMError` when it does not: it is away, or does not accept our key.
        """
        ...
