"""The exact bounds of waits: found by mutations of the code that no other test detected."""

from collections.abc import Awaitable, Callable

import pytest

from app.resilience.retry import Retry, RetryPolicy
from app.testing import FakeClock


class BusyError(Exception):
    """Asks for a pause of 20 s."""


def fails_once() -> Callable[[], Awaitable[str]]:
    left = [BusyError()]

    async def call() -> str:
        if left:
            raise left.pop()
        return "answer"

    return call


def retry(clock: FakeClock, *, max_wait_s: float, deadline_s: float) -> Retry[BusyError]:
    no_jitter = 1e-300  # so small that 20 s plus it are 20 s
    policy = RetryPolicy(
        base_delay_s=no_jitter,
        max_delay_s=no_jitter,
        max_wait_s=max_wait_s,
        deadline_s=deadline_s,
    )
    return Retry(
        policy, on=BusyError, pause_s=lambda _: 20, sleep=clock.sleep, clock=clock.monotonic
    )


async def test_a_pause_as_long_as_the_bound_is_waited_for() -> None:
    clock = FakeClock()
    assert await retry(clock, max_wait_s=20, deadline_s=90)(fails_once()) == "answer"
    assert clock.sleeps == [20]


async def test_an_attempt_that_would_start_at_the_deadline_is_too_late() -> None:
    clock = FakeClock()
    with pytest.raises(BusyError):
        await retry(clock, max_wait_s=30, deadline_s=20)(fails_once())
    assert clock.sleeps == []


async def test_an_attempt_that_starts_just_before_the_deadline_is_made() -> None:
    clock = FakeClock()
    assert await retry(clock, max_wait_s=30, deadline_s=20.001)(fails_once()) == "answer"
