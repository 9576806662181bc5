import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from app.errors import LimitReachedError, LLMError, OverloadedError, ProviderTimeoutError
from app.llm.attempt_errors import is_worth_another_try
from app.llm.exchange import failure_fields
from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.guards.guard import Call, Guard, R, T
from app.resilience.retry import DeadlineExceededError, Retry, RetryPolicy

_log = structlog.get_logger(__name__)


class Retrying(Guard):
    """Repeats a call that failed for a passing reason; a stream only before its first event.

    The deadline of the policy ends an answer that is not complete, and a stream that has not begun.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        metrics: GuardMetrics = NO_METRICS,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._retry = Retry(
            policy,
            on=LLMError,
            worth=is_worth_another_try,
            pause_s=lambda error: error.retry_after_s,
            report=self._report,
            budget_spent=self._report_refusal,
            sleep=sleep,
            clock=clock,
        )

    async def around(self, request: R, call: Call[R, T]) -> T:
        failures: list[LLMError] = []

        async def attempt() -> T:
            try:
                return await call(request)
            except LLMError as error:
                failures.append(error)
                raise

        try:
            return await self._retry(attempt)
        except (LimitReachedError, OverloadedError) as refusal:
            if failures[-1] is failures[0]:
                raise
            # We refused another attempt only: the call fails because the provider did.
            raise failures[-2] from refusal
        except DeadlineExceededError as error:
            message = (
                f"{self.name} did not answer within {error.deadline_s:g} s, all attempts included"
            )
            raise ProviderTimeoutError(message, provider=self.name) from error

    def _report(self, attempt: int, wait_s: float, error: LLMError, /) -> None:
        self._metrics.retry(self.name)
        _log.warning("llm.retry", wait_s=round(wait_s, 3), **self._fields(attempt, error))

    def _report_refusal(self, attempt: int, error: LLMError, /) -> None:
        _log.warning("llm.retry_refused", **self._fields(attempt, error))

    def _fields(self, attempt: int, error: LLMError) -> dict[str, object]:
        return {
            "provider": self.name,
            "attempt": attempt,
            "error": type(error).__name__,
            "status": error.status,
            **failure_fields(error),
        }
