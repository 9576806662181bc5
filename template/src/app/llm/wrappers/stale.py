from collections.abc import AsyncGenerator

from app.errors import NonRetryableError
from app.llm.types import ChatRequest, LLMResponse, StreamEvent
from app.llm.wrappers.cached import Cached, replayed
from app.llm.wrappers.wrapper import Wrapper


class Stale(Wrapper):
    """Answers of a provider from before, marked stale: the last resort when nobody answers now.

    Raises `NonRetryableError` when there is none.
    """

    def __init__(self, cached: Cached) -> None:
        super().__init__(cached)
        self._cached = cached

    async def complete(self, request: ChatRequest) -> LLMResponse:
        response = await self._cached.from_before(request)
        if response is None:
            raise NonRetryableError(f"{self.name} has no answer from before", provider=self.name)
        return response

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        for event in replayed(await self.complete(request)):
            yield event
