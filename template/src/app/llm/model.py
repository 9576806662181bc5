"""The protocol that every provider and every guard around a provider speaks.

A guard (retry, cache, fallback …) is a class that takes a `ChatModel` and is a `ChatModel`, so
guards stack in any order; `app.wiring` decides the order in one place.
"""

from collections.abc import AsyncGenerator
from typing import Protocol

from app.llm.types import ChatRequest, LLMResponse, StreamEvent


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
