from collections.abc import AsyncGenerator

from app.llm.model import Model
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent


class Wrapper:
    """A model around a model. A guard overrides what it guards; the rest passes through."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.name = model.name

    async def complete(self, request: ChatRequest) -> LLMResponse:
        return await self._model.complete(request)

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        return self._model.stream(request)

    async def embed(self, request: EmbeddingRequest, /) -> Embeddings:
        return await self._model.embed(request)
