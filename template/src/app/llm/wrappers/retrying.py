import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import structlog

from app.errors import RetryableError
from app.llm.model import Model
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.llm.wrappers.meter import NOT_METERED, Meter
from app.llm.wrappers.opened import open_stream
from app.llm.wrappers.wrapper import Wrapper
from app.resilience.retry import Retry, RetryPolicy

_log = structlog.get_logger(__name__)


class Retrying(Wrapper):
    """Tries again what may succeed a little later; a stream only while nobody has seen any of it."""

    def __init__(
        self,
        model: Model,
        policy: RetryPolicy,
        *,
        meter: Meter = NOT_METERED,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(model)
        self._meter = meter
        self._retry = Retry(
            policy,
            on=RetryableError,
            pause_s=lambda error: error.retry_after_s,
            report=self._report,
            sleep=sleep,
            clock=clock,
        )

    async def complete(self, request: ChatRequest) -> LLMResponse:
        return await self._retry(lambda: self._model.complete(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        opened = await self._retry(lambda: open_stream(self._model, request))
        async with aclosing(opened.rest) as rest:
            yield opened.first
            async for event in rest:
                yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        return await self._retry(lambda: self._model.embed(request))

    def _report(self, attempt: int, wait_s: float, error: RetryableError, /) -> None:
        self._meter.retry(self.name)
        _log.warning(
            "llm.retry",
            provider=self.name,
            attempt=attempt,
            wait_s=round(wait_s, 3),
            error=type(error).__name__,
            status=error.status,
        )
