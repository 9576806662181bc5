"""The limit of tokens per minute of several processes, in the same script as the limit of calls."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.redis.client import SharedRedis
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import LimitExceededError, RateLimitPolicy
from tests.redis.processes import processes, run
from tests.resilience import virtual_time
from tests.resilience.arrivals import most_within, overdraft

# 10 tokens a second; the limit of calls is never reached.
BUCKET = RateLimitPolicy(requests_per_minute=100_000, tokens_per_minute=600, max_wait_s=60)
STRICT = replace(BUCKET, strict=True)
Execute = Callable[..., object]
each_policy = pytest.mark.parametrize("policy", [BUCKET, STRICT], ids=["bucket", "strict"])


@each_policy
def test_processes_share_the_tokens_of_a_minute(policy: RateLimitPolicy) -> None:
    async def scenario() -> list[float]:
        async with processes(policy) as limiters:
            return [await limiters[number % 4].acquire(200) for number in range(5)]

    assert run(scenario()) == pytest.approx([0, 0, 0, 20, 20], abs=0.01)


@each_policy
def test_tokens_that_one_process_gives_back_are_free_for_another(policy: RateLimitPolicy) -> None:
    async def scenario() -> list[float]:
        async with processes(policy) as (one, other, *_):
            await one.acquire(600)
            await one.give_back(500)
            return [await other.acquire(500), await other.acquire(10)]

    assert run(scenario()) == pytest.approx([0, 1], abs=0.01)


@each_policy
def test_a_call_that_used_more_than_reserved_delays_other_processes(
    policy: RateLimitPolicy,
) -> None:
    async def scenario() -> float:
        async with processes(policy) as (one, other, *_):
            await one.acquire(100)
            await one.give_back(-600)
            return await other.acquire(100)

    assert run(scenario()) == pytest.approx(20, abs=0.01)


@each_policy
def test_a_cancelled_waiter_returns_its_tokens_and_its_place(policy: RateLimitPolicy) -> None:
    async def scenario() -> float:
        async with processes(policy) as (one, other, *_):
            await one.acquire(600)
            leaver = asyncio.create_task(one.acquire(500))
            await asyncio.sleep(1)
            leaver.cancel()
            await asyncio.wait([leaver])
            return await other.acquire(20)

    assert run(scenario()) == pytest.approx(1, abs=0.01)


@each_policy
def test_tokens_that_are_given_back_do_not_let_a_call_overtake(policy: RateLimitPolicy) -> None:
    async def scenario() -> list[str]:
        order = []
        async with processes(policy) as (one, other, *_):

            async def call(name: str, limiter: RedisLimiter, tokens: int) -> None:
                await limiter.acquire(tokens)
                order.append(name)

            await one.acquire(600)
            large = asyncio.create_task(call("large", one, 300))
            await asyncio.sleep(1)
            await one.give_back(600)
            await asyncio.gather(large, call("small", other, 1))
        return order

    assert run(scenario()) == ["large", "small"]


@each_policy
def test_a_refused_call_takes_no_tokens(policy: RateLimitPolicy) -> None:
    async def scenario() -> float:
        async with processes(replace(policy, max_wait_s=5)) as (one, other, *_):
            await one.acquire(600)
            with pytest.raises(LimitExceededError) as raised:
                await other.acquire(100)
            assert raised.value.retry_after_s == pytest.approx(10, abs=0.01)
            return await other.acquire(50)

    assert run(scenario()) == pytest.approx(5, abs=0.01)


@each_policy
@settings(max_examples=10)
@given(calls=st.lists(st.tuples(st.floats(0, 20), st.integers(1, 600)), min_size=2, max_size=20))
def test_calls_and_tokens_both_hold(
    policy: RateLimitPolicy, calls: list[tuple[float, int]]
) -> None:
    policy = replace(policy, requests_per_minute=30, burst=3, max_wait_s=600)
    made: list[tuple[float, int]] = []

    async def call(limiter: RedisLimiter, tokens: int) -> None:
        await limiter.acquire(tokens)
        made.append((virtual_time.now(), tokens))

    async def scenario() -> None:
        async with processes(policy) as limiters:
            tasks = []
            for number, (after_s, tokens) in enumerate(calls):
                await asyncio.sleep(after_s)
                tasks.append(asyncio.create_task(call(limiters[number % 4], tokens)))
            await asyncio.gather(*tasks)

    run(scenario())
    times = [time for time, _ in made]
    assert len(made) == len(calls)
    if policy.strict:
        assert most_within(60, times) <= 30
    else:
        assert overdraft(times, burst=3, per_minute=30) <= 1e-4
    for first, (start, _) in enumerate(made):
        for last in range(first, len(made)):
            used = sum(tokens for _, tokens in made[first : last + 1])
            assert used <= 600 + 10 * (made[last][0] - start) + 0.01


async def test_calls_and_tokens_are_one_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    async with fakeredis.FakeAsyncRedis() as redis:
        limiter = RedisLimiter("llm", BUCKET, SharedRedis(redis))
        await limiter.acquire(10)  # loads the script
        asked: list[object] = []
        execute: Execute = redis.execute_command

        def noted(*args: object, **options: object) -> object:
            asked.append(args[0])
            return execute(*args, **options)

        monkeypatch.setattr(redis, "execute_command", noted)
        await limiter.acquire(10)
        assert asked == ["EVALSHA"]


@each_policy
def test_a_call_that_was_not_made_gives_back_its_turn_and_its_tokens(
    policy: RateLimitPolicy,
) -> None:
    async def scenario() -> list[float]:
        async with processes(replace(policy, requests_per_minute=1, max_wait_s=90)) as (
            one,
            other,
            *_,
        ):
            await one.acquire(600)
            await one.cancel(600)
            return [await other.acquire(600), await one.acquire(0)]

    assert run(scenario()) == pytest.approx([0, 60], abs=1)


@each_policy
def test_a_turn_that_was_never_taken_gives_nothing_back(policy: RateLimitPolicy) -> None:
    async def scenario() -> list[float]:
        async with processes(replace(policy, requests_per_minute=1, max_wait_s=90)) as (one, *_):
            await one.cancel()
            return [await one.acquire(), await one.acquire()]

    assert run(scenario()) == pytest.approx([0, 60], abs=1)
