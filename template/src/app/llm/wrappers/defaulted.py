from collections.abc import AsyncGenerator
from contextlib import aclosing

from app.llm.model import Model
from app.llm.providers.policy import ProviderPolicy
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.llm.wrappers.wrapper import Wrapper


class Defaulted(Wrapper):
    """Fills in what a request leaves to the settings.

    So every guard below sees which model is really asked, and with which parameters: a log line
    names it, a cache key depends on it.
    """

    def __init__(self, model: Model, policy: ProviderPolicy) -> None:
        super().__init__(model)
        self._policy = policy

    async def complete(self, request: ChatRequest) -> LLMResponse:
        return await self._model.complete(self._policy.applied_to(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        async with aclosing(self._model.stream(self._policy.applied_to(request))) as events:
            async for event in events:
                yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        return await self._model.embed(self._policy.applied_to_embedding(request))
