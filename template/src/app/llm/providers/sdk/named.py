from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager

from app.errors import LLMError
from app.llm.model import Provider
from app.llm.types import (
    ChatRequest,
    Done,
    EmbeddingRequest,
    Embeddings,
    LLMResponse,
    StreamEvent,
)


class Named:
    """A model under its name in `LLM_PROVIDERS`.

    It shares its converters with our own client, and these sign with the name of that one.
    """

    def __init__(self, name: str, model: Provider) -> None:
        self.name = name
        self._model = model

    async def complete(self, request: ChatRequest) -> LLMResponse:
        with self._signed_errors():
            return self._signed(await self._model.complete(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        with self._signed_errors():
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    yield Done(self._signed(event.response)) if isinstance(event, Done) else event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        with self._signed_errors():
            return await self._model.embed(request)

    async def ping(self) -> None:
        with self._signed_errors():
            await self._model.ping()

    def _signed(self, response: LLMResponse) -> LLMResponse:
        return response.model_copy(update={"provider": self.name})

    @contextmanager
    def _signed_errors(self) -> Iterator[None]:
        try:
            yield
        except LLMError as error:
            error.provider = self.name
            raise
