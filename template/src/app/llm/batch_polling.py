"""Waits until a batch has ended, and repeats calls that fail, with pauses that grow."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception,
    retry_if_result,
    wait_exponential,
)

from app.errors import LLMError, ProviderTimeoutError
from app.llm.attempt_errors import is_worth_another_try
from app.llm.batch import BatchAPI, BatchStatus
from app.resilience.retry import Retry, RetryPolicy

_MAX_ASKED_PAUSE_S = 300.0


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """The pauses between two looks at a batch double from the first to the longest one.

    Providers end a batch after 24 hours. `deadline_s` is later: it is for a batch that never ends.
    `attempts` is for each other call, such as the download of the results.
    """

    first_pause_s: Annotated[float, Gt(0)] = 5.0
    max_pause_s: Annotated[float, Gt(0)] = 60.0
    deadline_s: Annotated[float, Gt(0)] = 26 * 3600.0
    attempts: Annotated[int, Ge(1)] = 5


async def until_ended(
    api: BatchAPI, batch_id: str, policy: BatchPolicy, sleep: Callable[[float], Awaitable[None]]
) -> BatchStatus:
    """The status at the end. A failure that may pass does not end the wait, however often it comes.

    Raises `ProviderTimeoutError` at the deadline. The batch is not cancelled.
    """
    polling = AsyncRetrying(
        retry=retry_if_result(_is_running) | retry_if_exception(_may_pass),
        wait=_wait(policy),
        stop=lambda state: state.idle_for + state.upcoming_sleep > policy.deadline_s,
        sleep=sleep,
        reraise=True,
    )
    try:
        status: BatchStatus = await polling(api.status, batch_id)
    except RetryError as error:
        message = f"{api.name} did not end batch {batch_id} within {policy.deadline_s:g} s"
        raise ProviderTimeoutError(message, provider=api.name) from error
    return status


def _is_running(status: BatchStatus) -> bool:
    return not status.ended


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, LLMError) and is_worth_another_try(error)


def _wait(policy: BatchPolicy) -> Callable[[RetryCallState], float]:
    """The pause that doubles, or a longer one that the provider asks for."""
    doubling = wait_exponential(multiplier=policy.first_pause_s, max=policy.max_pause_s)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        asked = error.retry_after_s if isinstance(error, LLMError) else None
        return max(doubling(state), asked or 0.0)

    return wait


def retry_of(policy: BatchPolicy, sleep: Callable[[float], Awaitable[None]]) -> Retry[LLMError]:
    """What repeats the calls of a batch that end at once, such as the download of the results."""
    retries = RetryPolicy(
        max_attempts=policy.attempts,
        base_delay_s=policy.first_pause_s,
        max_delay_s=policy.max_pause_s,
        max_wait_s=_MAX_ASKED_PAUSE_S,
    )
    return Retry(
        retries,
        on=LLMError,
        worth=is_worth_another_try,
        pause_s=lambda error: error.retry_after_s,
        sleep=sleep,
    )
