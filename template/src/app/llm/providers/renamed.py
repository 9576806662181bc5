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


class Renamed:
    """A model under its name in `LLM_PROVIDERS`.

    Providers of one language share their converters, and these sign with the language's name.
    """

    def __init__(self, name: str, model: Provider, language: str) -> None:
        self.name = name
        self._model = model
        self._language = language

    async def complete(self, request: ChatRequest) -> LLMResponse:
        with self._renamed_errors():
            return self._renamed(await self._model.complete(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        with self._renamed_errors():
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    yield Done(self._renamed(event.response)) if isinstance(event, Done) else event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        with self._renamed_errors():
            return await self._model.embed(request)

    async def ping(self) -> None:
        with self._renamed_errors():
            await self._model.ping()

    def _renamed(self, response: LLMResponse) -> LLMResponse:
        return response.model_copy(update={"provider": self.name})

    @contextmanager
    def _renamed_errors(self) -> Iterator[None]:
        try:
            yield
        except LLMError as error:
            error.provider = self.name
            self._rename(error)
            raise

    def _rename(self, error: LLMError) -> None:
        """A message of the converters begins with the language's name."""
        before, name, after = error.message.partition(f"{self._language} ")
        if name and not before:
            error.message = f"{self.name} {after}"
            error.args = (error.message,)
