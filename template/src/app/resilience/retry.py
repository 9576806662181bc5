"""Retries: repeat a call that failed for a passing reason, after a wait.

tenacity counts the attempts, waits, and decides when to stop. It costs 38 µs a call even when nothing
fails, so the first attempt is made without it, and it takes over at the first failure.
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

from app.resilience.deadline import remaining_s

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
E_contra = TypeVar("E_contra", bound=Exception, contravariant=True)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The number of attempts and the waits: base x 2^n with full jitter, up to the maximum.

    A provider may ask for a longer pause. Up to `max_wait_s` it is kept; beyond that the error is
    raised at once, because a client does not wait for hours in an open request. `deadline_s` is for
    all attempts and waits together: no attempt starts after it, and a running one is cancelled.
    `None`: only the number of attempts is limited. A wait that would last until the deadline of the
    caller is not begun: the error is raised at once.

    All calls share one budget of retries: see `RetryBudget`.
    """

    max_attempts: Annotated[int, Ge(1), Le(10)] = 3
    base_delay_s: Annotated[float, Gt(0), Le(60)] = 0.5
    max_delay_s: Annotated[float, Gt(0), Le(300)] = 8.0
    max_wait_s: Annotated[float, Gt(0), Le(300)] = 30.0
    deadline_s: Annotated[float, Gt(0), Le(3600)] | None = None
    budget_ratio: Annotated[float, Ge(0), Le(10)] = 0.1
    budget_reserve: Annotated[float, Ge(1), Le(10_000)] = 20.0


class RetryBudget:
    """A limit on the number of retries of all calls together.

    Attempts per call only limit the cost of one call. While a provider is down, three attempts per
    call triple its load at the time when it can handle the least. The idea comes from Finagle's
    `RetryBudget` and gRPC's retry throttling (gRFC A6): calls add to a balance, retries subtract
    from it, and the balance has a maximum.

    Each call earns `ratio` of a retry; `reserve` is the initial and the maximum balance.

    So n calls are followed by at most `reserve + ratio x n` retries, and the full reserve is
    available again after a time without retries. With a ratio of 0 only the reserve is available.
    """

    def __init__(self, ratio: float, reserve: float) -> None:
        self._ratio = ratio
        self._reserve = reserve
        self._balance = reserve

    def earn(self) -> None:
        """Count the first attempt of a call."""
        self._balance = min(self._reserve, self._balance + self._ratio)

    def spend(self) -> bool:
        """Take one retry from the balance; False if the balance is too low."""
        if self._balance < 1:
            return False
        self._balance -= 1
        return True


class DeadlineExceededError(Exception):
    """The time for all attempts is over. The running attempt was cancelled; its outcome is unknown."""

    def __init__(self, deadline_s: float) -> None:
        super().__init__(f"No answer within {deadline_s:g} s")
        self.deadline_s = deadline_s


class RetryHook(Protocol[E_contra]):
    def __call__(self, attempt: int, wait_s: float, error: E_contra, /) -> None:
        """Attempt number `attempt` failed; the next one comes after `wait_s`."""


class RefusalHook(Protocol[E_contra]):
    def __call__(self, attempt: int, error: E_contra, /) -> None:
        """Attempt number `attempt` failed, and the budget does not allow another one."""


class Retry(Generic[E]):
    """`await retry(call)` repeats `await call()` while it raises `on` and the error is `worth` it.

    Raises the last error after the last attempt, and `DeadlineExceededError` when the deadline ends
    an attempt. One object serves all calls to one provider, because they share its budget.
    """

    def __init__(
        self,
        policy: RetryPolicy,
        *,
        on: type[E],
        worth: Callable[[E], bool] | None = None,
        pause_s: Callable[[E], float | None] | None = None,
        report: RetryHook[E] | None = None,
        budget_spent: RefusalHook[E] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        remaining_s: Callable[[], float] = remaining_s,
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
        self._remaining_s = remaining_s
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
            if failed is not None:  # the first attempt is over: raise its error to tenacity
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
        return isinstance(error, self._on) and (self._worth is None or self._worth(error))

    def _gives_up(self, state: RetryCallState, ends: float) -> bool:
        return self._is_late(state, ends) or not self._can_pay(state)

    def _is_late(self, state: RetryCallState, ends: float) -> bool:
        return (
            state.attempt_number >= self._policy.max_attempts
            or self._asked_pause_s(state) > self._policy.max_wait_s
            or self._clock() + state.upcoming_sleep >= ends
            or state.upcoming_sleep >= self._remaining_s()
        )

    def _can_pay(self, state: RetryCallState) -> bool:
        can_pay = self._budget.spend()
        if not can_pay and self._budget_spent is not None:
            self._budget_spent(state.attempt_number, self._error(state))
        return can_pay

    def _before_sleep(self, state: RetryCallState) -> None:
        if self._report is not None:
            self._report(state.attempt_number, state.upcoming_sleep, self._error(state))

    def _asked_pause_s(self, state: RetryCallState) -> float:
        if self._pause_s is None:
            return 0.0
        return max(self._pause_s(self._error(state)) or 0.0, 0.0)

    def _error(self, state: RetryCallState) -> E:
        error = state.outcome.exception() if state.outcome is not None else None
        if not isinstance(error, self._on):
            raise TypeError("only a failed attempt has an error")
        return error


class _JitterAfterPause(wait_base):
    """The pause that the provider asked for, plus jitter.

    A hundred callers with the same `Retry-After` must not come back in the same instant.
    """

    def __init__(self, policy: RetryPolicy, pause_s: Callable[[RetryCallState], float]) -> None:
        self._jitter = wait_random_exponential(policy.base_delay_s, policy.max_delay_s)
        self._pause_s = pause_s

    def __call__(self, retry_state: RetryCallState) -> float:
        return self._pause_s(retry_state) + self._jitter(retry_state)
