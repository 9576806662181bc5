from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from app.errors import LimitReached
from app.llm.model import Model
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.llm.wrappers.meter import NOT_METERED, Meter
from app.llm.wrappers.wrapper import Wrapper
from app.resilience.rate_limit import LimitExceededError, RateLimiter

_log = structlog.get_logger(__name__)


class RateLimited(Wrapper):
    """Each call waits for its turn, or is refused before anything is sent.

    Not to be confused with `app.errors.RateLimited`, which is a provider's limit and not ours.
    """

    def __init__(self, model: Model, limiter: RateLimiter, *, meter: Meter = NOT_METERED) -> None:
        super().__init__(model)
        self._meter = meter
        self._limiter = limiter

    async def complete(self, request: ChatRequest) -> LLMResponse:
        await self._wait_for_turn()
        return await self._model.complete(request)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        await self._wait_for_turn()
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        await self._wait_for_turn()
        return await self._model.embed(request)

    async def _wait_for_turn(self) -> None:
        try:
            waited_s = await self._limiter.acquire()
        except LimitExceededError as error:
            raise self._refusal(error.retry_after_s) from error
        if waited_s > 0:
            self._meter.limiter_wait(self.name, waited_s)
            _log.info("llm.rate_limited", provider=self.name, waited_s=round(waited_s, 3))

    def _refusal(self, retry_after_s: float) -> LimitReached:
        self._meter.limiter_refused(self.name)
        _log.warning("llm.limit_reached", provider=self.name, retry_after_s=round(retry_after_s, 3))
        message = f"{self.name} was not called: the limit of calls per minute is reached"
        return LimitReached(message, provider=self.name, retry_after_s=retry_after_s)
