import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import fakeredis
import pytest
from hypothesis import given, settings

from app.redis.client import SharedRedis
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import LimitExceededError, LocalLimiter, RateLimitPolicy
from app.testing import FakeClock, captured_logs
from tests.redis.processes import processes, run
from tests.redis.stepped_clock import SteppedClock
from tests.resilience import callers, virtual_time
from tests.resilience.arrivals import most_within, overdraft
from tests.resilience.callers import Caller, Turn

BUCKET = RateLimitPolicy(requests_per_minute=60, burst=3, max_wait_s=60)
STRICT = RateLimitPolicy(requests_per_minute=6, strict=True, max_wait_s=200)


def play(policy: RateLimitPolicy, coming: Sequence[Caller]) -> list[Turn]:
    async def scenario() -> list[Turn]:
        async with processes(policy) as limiters:
            return await callers.turns(limiters, coming)

    return run(scenario())


def test_four_processes_share_one_bucket() -> None:
    made = [turn.made for turn in play(BUCKET, [Caller(0)] * 40)]
    assert len(made) == 40
    assert overdraft(made, burst=3, per_minute=60) <= 1e-5
    assert made[-1] - made[0] == pytest.approx(37, abs=0.01)


def test_four_processes_share_one_strict_limit() -> None:
    made = [turn.made for turn in play(STRICT, [Caller(3)] * 20)]
    assert len(made) == 20
    assert most_within(60, made) == 6
    assert made[-1] - made[0] < 3 * 60.5 + 10


@settings(max_examples=10)
@given(coming=callers.PATIENT)
def test_the_shared_bucket_is_the_local_one(coming: list[Caller]) -> None:
    policy = RateLimitPolicy(requests_per_minute=12, burst=4, max_wait_s=600)

    async def alone() -> list[Turn]:
        return await callers.turns([LocalLimiter(policy, clock=virtual_time.now)], coming)

    local, shared = virtual_time.run(alone()), play(policy, coming)
    # Calls of different processes at the same instant have no order.
    assert [turn.came for turn in shared] == pytest.approx([turn.came for turn in local], abs=0.001)
    assert [turn.made for turn in shared] == pytest.approx([turn.made for turn in local], abs=0.001)


@pytest.mark.parametrize("policy", [BUCKET, STRICT], ids=["bucket", "strict"])
@settings(max_examples=10)
@given(coming=callers.ANY)
def test_the_limit_holds_when_any_waiter_is_cancelled(
    policy: RateLimitPolicy, coming: list[Caller]
) -> None:
    times = [turn.made for turn in play(policy, coming)]
    if policy.strict:
        assert most_within(60, times) <= policy.requests_per_minute
    else:
        assert overdraft(times, burst=policy.bucket, per_minute=60) <= 1e-5


@pytest.mark.parametrize(
    ("strict", "wait_s"), [(False, 60), (True, 60.5)], ids=["bucket", "strict"]
)
def test_the_next_caller_gets_the_place_of_a_cancelled_one(*, strict: bool, wait_s: float) -> None:
    async def scenario() -> float:
        policy = RateLimitPolicy(requests_per_minute=1, strict=strict, max_wait_s=200)
        async with processes(policy) as (one, other, *_):
            await one.acquire()
            leaver = asyncio.create_task(one.acquire())
            await asyncio.sleep(0.1)
            leaver.cancel()
            await asyncio.wait([leaver])
            assert leaver.cancelled()
            return await other.acquire()

    assert run(scenario()) == pytest.approx(wait_s - 0.1, abs=0.01)


@pytest.mark.parametrize("policy", [BUCKET, STRICT], ids=["bucket", "strict"])
def test_a_returned_place_goes_to_one_caller_only(policy: RateLimitPolicy) -> None:
    coming = [Caller(0)] * 7 + [Caller(0, patience_s=0.1)] + [Caller(1)] * 3
    times = [turn.made for turn in play(policy, coming)]
    assert len(times) == 10
    assert len({round(time, 3) for time in times}) == (8 if policy is BUCKET else 2)


def test_an_impatient_process_leaves_a_place_that_was_given_back_to_others() -> None:
    async def scenario() -> float:
        server = fakeredis.FakeServer()
        target = RateLimitPolicy(requests_per_minute=60, burst=1)
        async with processes(target, 1, server) as (one,):
            await one.acquire()
            leaver = asyncio.create_task(one.acquire())
            await asyncio.sleep(0.1)
            leaver.cancel()
            await asyncio.wait([leaver])
            async with processes(replace(target, max_wait_s=0.5), 1, server) as (impatient,):
                with pytest.raises(LimitExceededError):
                    await impatient.acquire()
            return await one.acquire()

    assert run(scenario()) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("strict", "wait_s"), [(False, 60), (True, 60.5)], ids=["bucket", "strict"]
)
def test_a_refused_call_takes_no_place(*, strict: bool, wait_s: float) -> None:
    async def scenario() -> float:
        policy = RateLimitPolicy(requests_per_minute=1, strict=strict, max_wait_s=0.5)
        async with processes(policy) as (one, other, *_):
            assert await one.acquire() == 0
            for _ in range(5):
                with pytest.raises(LimitExceededError) as raised:
                    await other.acquire()
                assert raised.value.retry_after_s == pytest.approx(wait_s, abs=0.01)
            await asyncio.sleep(wait_s)
            return await other.acquire()

    assert run(scenario()) == 0


@pytest.mark.parametrize("policy", [BUCKET, STRICT], ids=["bucket", "strict"])
@pytest.mark.parametrize("tokens", [None, 1000])
async def test_all_keys_of_a_limiter_expire(policy: RateLimitPolicy, tokens: int | None) -> None:
    policy = replace(policy, tokens_per_minute=tokens)
    async with fakeredis.FakeAsyncRedis() as redis:
        limiter = RedisLimiter("llm", policy, SharedRedis(redis))
        await limiter.acquire(100)
        if tokens is not None:
            await limiter.give_back(50)
        keys = {key: await redis.pttl(key) for key in await redis.keys("app:{llm}:limit:*")}
        assert await redis.dbsize() == len(keys) == (2 if tokens is None else 3)
        assert 0 < keys.pop(b"app:{llm}:limit:processes") <= 305_000
        assert all(0 < expires <= 280_000 for expires in keys.values())


async def test_another_name_is_another_limit() -> None:
    async with fakeredis.FakeAsyncRedis() as redis:
        policy = RateLimitPolicy(requests_per_minute=1, max_wait_s=0)
        assert await RedisLimiter("openai", policy, SharedRedis(redis)).acquire() == 0
        assert await RedisLimiter("anthropic", policy, SharedRedis(redis)).acquire() == 0
        with pytest.raises(LimitExceededError):
            await RedisLimiter("openai", policy, SharedRedis(redis)).acquire()


async def test_a_redis_without_the_script_gets_it_again() -> None:
    async with fakeredis.FakeAsyncRedis() as redis:
        policy = RateLimitPolicy(requests_per_minute=2, max_wait_s=0)
        limiter = RedisLimiter("llm", policy, SharedRedis(redis))
        await limiter.acquire()
        await redis.script_flush()
        await limiter.acquire()
        with pytest.raises(LimitExceededError):
            await limiter.acquire()


async def test_without_redis_each_process_keeps_the_limit_and_logs_it_once() -> None:
    server, clock = fakeredis.FakeServer(), SteppedClock()
    policy = RateLimitPolicy(requests_per_minute=2, max_wait_s=0)
    async with (
        fakeredis.FakeAsyncRedis(server=server) as client,
        aclosing(SharedRedis(client, clock=clock.monotonic, sleep=clock.sleep)) as redis,
    ):
        limiter = RedisLimiter("llm", policy, redis, clock=clock.monotonic)
        with captured_logs() as logs:
            server.connected = False
            await limiter.acquire()
            await limiter.acquire()
            await clock.advance(3)  # Redis is tried again, and is still gone
            with pytest.raises(LimitExceededError):
                await limiter.acquire()
            server.connected = True
            await clock.advance(4)
            with pytest.raises(LimitExceededError):
                await limiter.acquire()  # shared, and Redis gets to know the two calls
    lines = [(line["event"], line["level"], line.get("error")) for line in logs.lines]
    assert lines == [
        ("redis.unavailable", "warning", "ConnectionError"),
        ("redis.recovered", "info", None),
    ]


async def test_without_redis_calls_wait_for_the_local_limit() -> None:
    server, clock = fakeredis.FakeServer(), FakeClock()
    server.connected = False
    policy = RateLimitPolicy(requests_per_minute=60, burst=1)
    async with fakeredis.FakeAsyncRedis(server=server) as redis:
        limiter = RedisLimiter(
            "llm",
            policy,
            SharedRedis(redis, clock=clock.monotonic),
            sleep=clock.sleep,
            clock=clock.monotonic,
        )
        assert [await limiter.acquire() for _ in range(3)] == [0, 1, 1]
    assert clock.sleeps == [1, 1]
