"""Try again, after a wait, what may succeed a little later.

tenacity keeps the books: attempts, waits, the decision to stop. It costs 38 µs a call even when
nothing fails, so the first attempt is made without it and it is entered at the first failure.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Generic, Protocol, TypeVar

from annotated_types import Ge, Gt, Le
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential
from tenacity.wait import wait_base

from app.resilience.retry_budget import RetryBudget

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
E_contra = TypeVar("E_contra", bound=Exception, contravariant=True)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently. Waits grow as base x 2^n with full jitter, up to the maximum.

    A provider may ask for a longer pause: it gets it up to `max_wait_s`, and beyond that the error
    is raised at once, because nobody waits for hours in an open request. `deadline_s` is for all
    attempts and waits together: no attempt starts after it, and one that runs is given up. `None`:
    there is no end but that of the attempts.

    All calls share one budget of retries: `app.resilience.retry_budget` says how it is earned.
    """

    max_attempts: Annotated[int, Ge(1), Le(10)] = 3
    base_delay_s: Annotated[float, Gt(0), Le(60)] = 0.5
    max_delay_s: Annotated[float, Gt(0), Le(300)] = 8.0
    max_wait_s: Annotated[float, Gt(0), Le(300)] = 30.0
    deadline_s: Annotated[float, Gt(0), Le(3600)] | None = None
    budget_ratio: Annotated[float, Ge(0), Le(10)] = 0.1
    budget_reserve: Annotated[float, Ge(1), Le(10_000)] = 20.0


class DeadlineExceededError(Exception):
    """The time for all attempts is over. An attempt was still running; nobody knows its end."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"No answer within {deadline_s:g} s")
        self.deadline_s = deadline_s


class RetryHook(Protocol[E_contra]):
    def __call__(self, attempt: int, wait_s: float, error: E_contra, /) -> None:
        """Attempt number `attempt` failed; the next one comes after `wait_s`."""


class RefusalHook(Protocol[E_contra]):
    def __call__(self, attempt: int, error: E_contra, /) -> None:
        """Attempt number `attempt` failed, and the budget does not allow another one."""


def always(_: Exception, /) -> bool:
    """Every error of the type is worth another attempt."""
    return True


def never_told(_: Exception, /) -> None:
    """The pause that an error asks for, when errors do not say."""


def not_reported(_attempt: int, _wait_s: float, _error: Exception, /) -> None:
    """The hook of someone who does not want to know."""


def refusal_not_reported(_attempt: int, _error: Exception, /) -> None:
    """Nor of this."""


class Retry(Generic[E]):
    """`await retry(call)` is `await call()`, again and again while it raises `on` and is `worth` it.

    Raises the last error when it gives up, and `DeadlineExceededError` when the deadline ends an
    attempt. One object serves all calls to the same place, because they share its budget.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        on: type[E],
        worth: Callable[[E], bool] = always,
        pause_s: Callable[[E], float | None] = never_told,
        report: RetryHook[E] = not_reported,
        budget_spent: RefusalHook[E] = refusal_not_reported,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._deadline_s = math.inf if policy.deadline_s is None else policy.deadline_s
        self._on = on
        self._worth = worth
        self._pause_s = pause_s
        self._report = report
        self._budget_spent = budget_spent
        self._sleep = sleep
        self._clock = clock
        self._wait = _JitterAfterPause(policy, self._asked_pause_s)
        self._budget = RetryBudget(policy.budget_ratio, policy.budget_reserve)

    async def __call__(self, call: Callable[[], Awaitable[T]]) -> T:
        ends = self._clock() + self._deadline_s
        self._budget.earn()
        try:
            return await self._in_time(call, ends)
        except self._on as error:
            first = error
        return await self._again(call, first, ends)

    async def _in_time(self, call: Callable[[], Awaitable[T]], ends: float) -> T:
        timeout = asyncio.timeout(None if ends == math.inf else ends - self._clock())
        try:
            async with timeout:
                return await call()
        except TimeoutError as error:
            if not timeout.expired():
                raise  # the call's own
            raise DeadlineExceededError(self._deadline_s) from error

    async def _again(self, call: Callable[[], Awaitable[T]], first: E, ends: float) -> T:
        failed: E | None = first

        async def attempt() -> T:
            nonlocal failed
            if failed is not None:  # the first attempt is over; tenacity is told how it ended
                error, failed = failed, None
                raise error
            return await self._in_time(call, ends)

        retrying = AsyncRetrying(
            retry=retry_if_exception(self._is_worth_it),
            wait=self._wait,
            stop=lambda state: self._gives_up(state, ends),
            before_sleep=self._before_sleep,
            sleep=self._sleep,
            reraise=True,
        )
        result: T = await retrying(attempt)
        return result

    def _is_worth_it(self, error: BaseException) -> bool:
        return isinstance(error, self._on) and self._worth(error)

    def _gives_up(self, state: RetryCallState, ends: float) -> bool:
        return self._is_late(state, ends) or not self._can_pay(state)

    def _is_late(self, state: RetryCallState, ends: float) -> bool:
        return (
            state.attempt_number >= self._policy.max_attempts
            or self._asked_pause_s(state) > self._policy.max_wait_s
            or self._clock() + state.upcoming_sleep >= ends
        )

    def _can_pay(self, state: RetryCallState) -> bool:
        can_pay = self._budget.spend()
        if not can_pay:
            self._budget_spent(state.attempt_number, self._error(state))
        return can_pay

    def _before_sleep(self, state: RetryCallState) -> None:
        self._report(state.attempt_number, state.upcoming_sleep, self._error(state))

    def _asked_pause_s(self, state: RetryCallState) -> float:
        return max(self._pause_s(self._error(state)) or 0.0, 0.0)

    def _error(self, state: RetryCallState) -> E:
        error = state.outcome.exception() if state.outcome is not None else None
        if not isinstance(error, self._on):
            raise TypeError("only a failed attempt has an error")
        return error


class _JitterAfterPause(wait_base):
    """The pause that was asked for, and the jitter on top of it.

    A hundred callers who were all told "in two seconds" must not come back in the same instant.
    """

    def __init__(self, policy: RetryPolicy, pause_s: Callable[[RetryCallState], float]) -> None:
        self._jitter = wait_random_exponential(policy.base_delay_s, policy.max_delay_s)
        self._pause_s = pause_s

    def __call__(self, retry_state: RetryCallState) -> float:
        return self._pause_s(retry_state) + self._jitter(retry_state)
