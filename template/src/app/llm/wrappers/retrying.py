import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import structlog

from app.errors import LLMError, RetryableError, TimedOut
from app.llm.model import Model
from app.llm.types import ChatRequest, EmbeddingRequest, Embeddings, LLMResponse, StreamEvent
from app.llm.wrappers.meter import NOT_METERED, Meter
from app.llm.wrappers.opened import open_stream
from app.llm.wrappers.wrapper import Wrapper
from app.resilience.retry import DeadlineExceededError, Retry, RetryPolicy

_log = structlog.get_logger(__name__)

T = TypeVar("T")


class Retrying(Wrapper):
    """Tries again what may succeed a little later; a stream only while nobody has seen any of it.

    The deadline of the policy ends an answer that is not complete, and a stream that has not begun.
    """

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
            on=LLMError,
            worth=_is_worth_another_try,
            pause_s=lambda error: error.retry_after_s,
            report=self._report,
            budget_spent=self._report_refusal,
            sleep=sleep,
            clock=clock,
        )

    async def complete(self, request: ChatRequest) -> LLMResponse:
        return await self._tried(lambda: self._model.complete(request))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        opened = await self._tried(lambda: open_stream(self._model, request))
        async with aclosing(opened.rest) as rest:
            yield opened.first
            async for event in rest:
                yield event

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        return await self._tried(lambda: self._model.embed(request))

    async def _tried(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await self._retry(call)
        except DeadlineExceededError as error:
            message = (
                f"{self.name} did not answer within {error.deadline_s:g} s, all attempts included"
            )
            raise TimedOut(message, provider=self.name) from error

    def _report(self, attempt: int, wait_s: float, error: LLMError, /) -> None:
        self._meter.retry(self.name)
        _log.warning("llm.retry", wait_s=round(wait_s, 3), **self._facts(attempt, error))

    def _report_refusal(self, attempt: int, error: LLMError, /) -> None:
        _log.warning("llm.retry_refused", **self._facts(attempt, error))

    def _facts(self, attempt: int, error: LLMError) -> dict[str, object]:
        return {
            "provider": self.name,
            "attempt": attempt,
            "error": type(error).__name__,
            "status": error.status,
        }


def _is_worth_another_try(error: LLMError) -> bool:
    """A provider may ask us not to come back, but cannot make a refusal worth another try."""
    return isinstance(error, RetryableError) and error.should_retry is not False
