"""The limit of tokens per minute in one process."""

import asyncio

import pytest

from app.resilience.rate_limit import LimitExceededError, LocalLimiter, RateLimitPolicy
from app.testing import FakeClock
from tests.resilience import virtual_time

# 10 tokens a second; the limit of calls is never reached.
POLICY = RateLimitPolicy(requests_per_minute=100_000, tokens_per_minute=600, max_wait_s=60)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limited(clock: FakeClock) -> LocalLimiter:
    return LocalLimiter(POLICY, sleep=clock.sleep, clock=clock.monotonic)


async def test_the_tokens_of_a_minute_pass_at_once_and_then_their_rate(
    limited: LocalLimiter,
) -> None:
    waits = [await limited.acquire(200) for _ in range(5)]
    assert waits == pytest.approx([0, 0, 0, 20, 20])


async def test_tokens_that_are_given_back_are_free_for_the_next_call(limited: LocalLimiter) -> None:
    await limited.acquire(600)
    await limited.give_back(500)
    assert await limited.acquire(500) == 0
    assert await limited.acquire(10) == pytest.approx(1)


async def test_a_call_that_used_more_than_reserved_delays_the_next_one(
    limited: LocalLimiter,
) -> None:
    await limited.acquire(100)
    await limited.give_back(-600)
    assert await limited.acquire(100) == pytest.approx(20)


async def test_a_call_that_would_wait_too_long_is_refused_and_takes_nothing(
    clock: FakeClock,
) -> None:
    policy = RateLimitPolicy(requests_per_minute=100_000, tokens_per_minute=600, max_wait_s=5)
    limited = LocalLimiter(policy, sleep=clock.sleep, clock=clock.monotonic)
    await limited.acquire(600)
    with pytest.raises(LimitExceededError) as raised:
        await limited.acquire(100)
    assert raised.value.retry_after_s == pytest.approx(10)
    assert await limited.acquire(50) == pytest.approx(5)


async def test_the_limit_of_calls_holds_too(clock: FakeClock) -> None:
    policy = RateLimitPolicy(requests_per_minute=60, burst=1, tokens_per_minute=600)
    limited = LocalLimiter(policy, sleep=clock.sleep, clock=clock.monotonic)
    assert [await limited.acquire(1) for _ in range(3)] == pytest.approx([0, 1, 1])


async def test_without_a_limit_tokens_are_not_counted(clock: FakeClock) -> None:
    limited = LocalLimiter(RateLimitPolicy(tokens_per_minute=0), clock=clock.monotonic)
    assert [await limited.acquire(10**9) for _ in range(3)] == [0, 0, 0]


async def test_more_tokens_than_the_share_of_a_process_wait_for_a_full_bucket(
    limited: LocalLimiter,
) -> None:
    limited.share(3)
    assert await limited.acquire(600) == 0
    with pytest.raises(LimitExceededError) as raised:
        await limited.acquire(100)
    assert raised.value.retry_after_s == pytest.approx(150)


def test_a_small_call_does_not_overtake_a_large_one() -> None:
    async def scenario() -> list[str]:
        limited = LocalLimiter(POLICY, clock=virtual_time.now)
        order = []

        async def call(name: str, tokens: int) -> None:
            await limited.acquire(tokens)
            order.append(name)

        await limited.acquire(600)
        large = asyncio.create_task(call("large", 300))
        await asyncio.sleep(1)
        await asyncio.gather(large, call("small", 1))
        return order

    assert virtual_time.run(scenario()) == ["large", "small"]


def test_a_cancelled_waiter_reserves_nothing() -> None:
    async def scenario() -> float:
        limited = LocalLimiter(POLICY, clock=virtual_time.now)
        await limited.acquire(600)
        leaver = asyncio.create_task(limited.acquire(600))
        await asyncio.sleep(1)
        leaver.cancel()
        await asyncio.wait([leaver])
        return await limited.acquire(20)

    assert virtual_time.run(scenario()) == pytest.approx(1)


def test_waiting_tokens_count_for_the_wait_of_new_calls() -> None:
    async def scenario() -> float:
        limited = LocalLimiter(POLICY, clock=virtual_time.now)
        await limited.acquire(600)
        waiting = asyncio.create_task(limited.acquire(400))
        await asyncio.sleep(0)
        with pytest.raises(LimitExceededError) as raised:
            await limited.acquire(300)
        waiting.cancel()
        return raised.value.retry_after_s

    assert virtual_time.run(scenario()) == pytest.approx(70)


async def test_a_cancelled_call_gives_back_its_turn_and_its_tokens(clock: FakeClock) -> None:
    policy = RateLimitPolicy(requests_per_minute=1, tokens_per_minute=600, max_wait_s=60)
    limited = LocalLimiter(policy, sleep=clock.sleep, clock=clock.monotonic)
    await limited.acquire(600)
    await limited.cancel(600)
    assert await limited.acquire(600) == 0
    assert await limited.acquire(0) == pytest.approx(60)
