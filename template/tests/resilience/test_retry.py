import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.resilience.retry import DeadlineExceededError, Retry, RetryPolicy
from app.testing import FakeClock


class BusyError(Exception):
    def __init__(self, pause_s: float | None = None) -> None:
        super().__init__("busy")
        self.pause_s = pause_s


class Bench:
    """Time that passes only in sleep, and a record of the retries."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.slept = self.clock.sleeps
        self.reports: list[tuple[int, float, BusyError]] = []
        self.refusals: list[tuple[int, BusyError]] = []

    def retry(self, policy: RetryPolicy) -> Retry[BusyError]:
        return Retry(
            policy,
            on=BusyError,
            pause_s=lambda error: error.pause_s,
            report=lambda attempt, wait_s, error: self.reports.append((attempt, wait_s, error)),
            budget_spent=lambda attempt, error: self.refusals.append((attempt, error)),
            sleep=self.clock.sleep,
            clock=self.clock.monotonic,
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


def fails_first(*errors: Exception) -> Callable[[], Awaitable[str]]:
    left = list(errors)

    async def call() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return call


async def test_a_call_that_succeeds_is_made_once(bench: Bench) -> None:
    assert await bench.retry(RetryPolicy())(fails_first()) == "answer"
    assert bench.slept == []


async def test_a_failure_is_tried_again_and_reported(bench: Bench) -> None:
    error = BusyError()
    assert await bench.retry(RetryPolicy())(fails_first(error)) == "answer"
    assert bench.reports == [(1, bench.slept[0], error)]


async def test_the_last_error_comes_out_after_the_last_attempt(bench: Bench) -> None:
    errors = [BusyError(), BusyError(), BusyError()]
    with pytest.raises(BusyError) as raised:
        await bench.retry(RetryPolicy(max_attempts=3))(fails_first(*errors))
    assert raised.value is errors[2]
    assert [attempt for attempt, _, _ in bench.reports] == [1, 2]


async def test_a_single_attempt_is_no_retry(bench: Bench) -> None:
    with pytest.raises(BusyError):
        await bench.retry(RetryPolicy(max_attempts=1))(fails_first(BusyError()))
    assert bench.slept == []


@pytest.mark.parametrize("errors", [[KeyError()], [BusyError(), KeyError()]], ids=["1st", "2nd"])
async def test_any_other_error_passes_at_once(bench: Bench, errors: list[Exception]) -> None:
    with pytest.raises(KeyError):
        await bench.retry(RetryPolicy())(fails_first(*errors))
    assert len(bench.slept) == len(errors) - 1


@pytest.mark.parametrize("before", [0, 1], ids=["1st", "2nd"])
async def test_an_error_that_is_not_retryable_passes_at_once(bench: Bench, before: int) -> None:
    retry = Retry(
        RetryPolicy(),
        on=BusyError,
        worth=lambda error: error.pause_s is None,
        sleep=bench.clock.sleep,
    )
    hopeless = BusyError(pause_s=1)
    with pytest.raises(BusyError) as raised:
        await retry(fails_first(*[BusyError()] * before, hopeless))
    assert raised.value is hopeless
    assert len(bench.slept) == before


async def test_waits_double_up_to_the_maximum_with_full_jitter() -> None:
    policy = RetryPolicy(max_attempts=6, base_delay_s=1, max_delay_s=4)
    longest = [0.0] * 5
    shortest = [9.0] * 5
    for _ in range(200):
        bench = Bench()
        await bench.retry(policy)(fails_first(*[BusyError() for _ in range(5)]))
        longest = [max(pair) for pair in zip(longest, bench.slept, strict=True)]
        shortest = [min(pair) for pair in zip(shortest, bench.slept, strict=True)]
    for seen, bound in zip(longest, [1, 2, 4, 4, 4], strict=True):
        assert 0.8 * bound < seen <= bound
    assert max(shortest) < 0.4


async def test_the_pause_that_was_asked_for_is_kept_and_spread(bench: Bench) -> None:
    policy = RetryPolicy(base_delay_s=0.5)
    await bench.retry(policy)(fails_first(BusyError(pause_s=7)))
    assert 7 <= bench.slept[0] <= 7.5


async def test_a_negative_pause_is_none(bench: Bench) -> None:
    await bench.retry(RetryPolicy(base_delay_s=0.5))(fails_first(BusyError(pause_s=-3)))
    assert 0 <= bench.slept[0] <= 0.5


async def test_no_wait_is_longer_than_the_bound(bench: Bench) -> None:
    with pytest.raises(BusyError):
        await bench.retry(RetryPolicy(max_wait_s=30))(fails_first(BusyError(pause_s=31)))
    assert bench.slept == []


async def test_no_attempt_starts_after_the_deadline(bench: Bench) -> None:
    calls = 0

    async def slow() -> str:
        nonlocal calls
        calls += 1
        bench.clock.now += 40
        raise BusyError

    with pytest.raises(BusyError):
        await bench.retry(RetryPolicy(max_attempts=10, deadline_s=90))(slow)
    assert calls == 3


async def test_a_wait_that_would_end_after_the_deadline_is_not_begun(bench: Bench) -> None:
    policy = RetryPolicy(max_wait_s=30, deadline_s=20)
    with pytest.raises(BusyError):
        await bench.retry(policy)(fails_first(BusyError(pause_s=25)))
    assert bench.slept == []


async def test_the_deadline_ends_an_attempt_that_runs() -> None:
    retry = Retry(RetryPolicy(deadline_s=0.02), on=BusyError)
    with pytest.raises(DeadlineExceededError, match=r"within 0\.02 s") as raised:
        await retry(asyncio.Event().wait)
    assert raised.value.deadline_s == 0.02


async def test_the_last_attempt_is_limited_to_the_remaining_deadline(bench: Bench) -> None:
    async def slow_then_hanging() -> str:
        if not bench.slept:
            bench.clock.now += 89.9  # of 90; without that, the test would hang here
            raise BusyError
        await asyncio.Event().wait()
        return "never"

    policy = RetryPolicy(base_delay_s=0.05, max_delay_s=0.05, deadline_s=90)
    with pytest.raises(DeadlineExceededError):
        await bench.retry(policy)(slow_then_hanging)


async def test_a_timeout_of_the_call_itself_is_not_taken_for_the_deadline(bench: Bench) -> None:
    with pytest.raises(TimeoutError, match="mine"):
        await bench.retry(RetryPolicy())(fails_first(TimeoutError("mine")))


async def test_an_empty_budget_raises_the_error_at_once_and_is_reported(bench: Bench) -> None:
    retry = bench.retry(RetryPolicy(budget_ratio=0, budget_reserve=1))
    first, second, third = BusyError(), BusyError(), BusyError()
    with pytest.raises(BusyError) as raised:
        await retry(fails_first(first, second, third))
    assert raised.value is second
    assert bench.refusals == [(1 + 1, second)]
    assert len(bench.slept) == 1


async def test_a_call_that_is_not_retried_costs_no_budget(bench: Bench) -> None:
    retry = bench.retry(RetryPolicy(budget_ratio=0, budget_reserve=1))
    with pytest.raises(BusyError):
        await retry(fails_first(BusyError(pause_s=1000)))
    assert await retry(fails_first(BusyError())) == "answer"
    assert bench.refusals == []


async def test_a_thousand_failing_calls_are_at_most_a_fifth_more(bench: Bench) -> None:
    retry = bench.retry(RetryPolicy())
    attempts = 0

    async def down() -> str:
        nonlocal attempts
        attempts += 1
        raise BusyError

    for _ in range(1000):
        with pytest.raises(BusyError):
            await retry(down)
    assert 1100 <= attempts <= 1200


async def test_cancelling_ends_a_wait() -> None:
    retry = Retry(RetryPolicy(), on=BusyError, pause_s=lambda _: 20)
    task = asyncio.create_task(retry(fails_first(BusyError())))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_one_retry_serves_many_calls_at_once() -> None:
    retry = Retry(RetryPolicy(base_delay_s=0.001, budget_reserve=100), on=BusyError)
    calls = [retry(fails_first(BusyError(), BusyError())) for _ in range(50)]
    assert await asyncio.gather(*calls) == ["answer"] * 50
