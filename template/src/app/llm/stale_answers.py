from app.errors import NonRetryableError
from app.llm.guards.cached import Cached
from app.llm.model import OpeningModel
from app.llm.opened_stream import OpenedStream, replayed
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse


class StaleAnswers(OpeningModel):
    """Earlier answers of a provider, marked stale: the last resort when no provider answers.

    Raises `NonRetryableError` when there is none.
    """

    def __init__(self, cached: Cached) -> None:
        self._cached = cached

    @property
    def name(self) -> str:
        return self._cached.name

    async def complete(self, request: ChatRequest) -> LLMResponse:
        response = await self._cached.get_stale(request)
        if response is None:
            raise NonRetryableError(f"{self.name} has no earlier answer", provider=self.name)
        return response

    async def open_stream(self, request: ChatRequest) -> OpenedStream:
        return replayed(await self.complete(request))

    async def embed(self, _request: EmbeddingRequest, /) -> Embeddings:
        raise NonRetryableError(f"{self.name} has no earlier vectors", provider=self.name)
