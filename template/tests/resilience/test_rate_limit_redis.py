import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import fakeredis
import pytest
from hypothesis import given, settings

from app.resilience.rate_limit import LimitExceededError, LocalLimiter, RateLimitPolicy
from app.resilience.rate_limit_redis import RedisLimiter
from app.testing import FakeClock, captured_logs
from tests.resilience import callers, virtual_time
from tests.resilience.arrivals import most_within, overdraft
from tests.resilience.callers import Caller, Turn

T = TypeVar("T")

BUCKET = RateLimitPolicy(requests_per_minute=60, burst=3, max_wait_s=60)
STRICT = RateLimitPolicy(requests_per_minute=6, strict=True, max_wait_s=200)


def run(scenario: Coroutine[Any, Any, T]) -> T:
    """In virtual time, and Redis' clock with it."""

    async def synchronised() -> T:
        now = asyncio.get_running_loop().time
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("time.time", lambda: 1_700_000_000 + now())
            return await scenario

    return virtual_time.run(synchronised())


@asynccontextmanager
async def processes(
    policy: RateLimitPolicy, number: int = 4, server: fakeredis.FakeServer | None = None
) -> AsyncIterator[list[RedisLimiter]]:
    """So many limiters that have nothing in common but Redis."""
    server = server or fakeredis.FakeServer()
    clients = [fakeredis.FakeAsyncRedis(server=server) for _ in range(number)]
    try:
        yield [RedisLimiter("llm", policy, client, clock=virtual_time.now) for client in clients]
    finally:
        for client in clients:
            await client.aclose()


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
    # Of those who come in the same instant, each in a process of its own, nobody is the first.
    assert [turn.came for turn in shared] == pytest.approx([turn.came for turn in local], abs=0.001)
    assert [turn.made for turn in shared] == pytest.approx([turn.made for turn in local], abs=0.001)


@pytest.mark.parametrize("policy", [BUCKET, STRICT], ids=["bucket", "strict"])
@settings(max_examples=10)
@given(coming=callers.ANY)
def test_the_promise_is_kept_whoever_leaves(policy: RateLimitPolicy, coming: list[Caller]) -> None:
    times = [turn.made for turn in play(policy, coming)]
    if policy.strict:
        assert most_within(60, times) <= policy.requests_per_minute
    else:
        assert overdraft(times, burst=policy.bucket, per_minute=60) <= 1e-5


@pytest.mark.parametrize(
    ("strict", "wait_s"), [(False, 60), (True, 60.5)], ids=["bucket", "strict"]
)
def test_the_next_to_ask_gets_the_place_of_who_left(*, strict: bool, wait_s: float) -> None:
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
def test_a_place_is_given_back_to_one_only(policy: RateLimitPolicy) -> None:
    coming = [Caller(0)] * 7 + [Caller(0, patience_s=0.1)] + [Caller(1)] * 3
    times = [turn.made for turn in play(policy, coming)]
    assert len(times) == 10
    assert len({round(time, 3) for time in times}) == (8 if policy is BUCKET else 2)


def test_an_impatient_process_leaves_a_place_that_was_given_back_to_others() -> None:
    async def scenario() -> float:
        server = fakeredis.FakeServer()
        patient = RateLimitPolicy(requests_per_minute=60, burst=1)
        async with processes(patient, 1, server) as (one,):
            await one.acquire()
            leaver = asyncio.create_task(one.acquire())
            await asyncio.sleep(0.1)
            leaver.cancel()
            await asyncio.wait([leaver])
            async with processes(replace(patient, max_wait_s=0.5), 1, server) as (impatient,):
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
async def test_a_limiter_is_one_key_that_goes_by_itself(policy: RateLimitPolicy) -> None:
    async with fakeredis.FakeAsyncRedis() as redis:
        await RedisLimiter("llm", policy, redis).acquire()
        (key,) = await redis.keys("app:rate_limit:llm:*")
        assert await redis.dbsize() == 1
        assert 0 < await redis.pttl(key) < 70_000


async def test_another_name_is_another_limit() -> None:
    async with fakeredis.FakeAsyncRedis() as redis:
        policy = RateLimitPolicy(requests_per_minute=1, max_wait_s=0)
        assert await RedisLimiter("openai", policy, redis).acquire() == 0
        assert await RedisLimiter("anthropic", policy, redis).acquire() == 0
        with pytest.raises(LimitExceededError):
            await RedisLimiter("openai", policy, redis).acquire()


async def test_a_redis_that_has_forgotten_the_script_is_told_again() -> None:
    async with fakeredis.FakeAsyncRedis() as redis:
        policy = RateLimitPolicy(requests_per_minute=2, max_wait_s=0)
        limiter = RedisLimiter("llm", policy, redis)
        await limiter.acquire()
        await redis.script_flush()
        await limiter.acquire()
        with pytest.raises(LimitExceededError):
            await limiter.acquire()


async def test_without_redis_each_keeps_the_limit_for_itself_and_says_so_once() -> None:
    server, clock = fakeredis.FakeServer(), FakeClock()
    policy = RateLimitPolicy(requests_per_minute=2, max_wait_s=0)
    async with fakeredis.FakeAsyncRedis(server=server) as redis:
        limiter = RedisLimiter("llm", policy, redis, clock=clock.monotonic)
        with captured_logs() as logs:
            server.connected = False
            await limiter.acquire()
            await limiter.acquire()
            clock.now += 3  # Redis is tried again, and is still gone
            with pytest.raises(LimitExceededError):
                await limiter.acquire()
            server.connected = True
            clock.now += 3
            assert await limiter.acquire() == 0  # shared, where nobody has called yet
    lines = [
        (line["event"], line["level"], line["limiter"], line.get("error")) for line in logs.lines
    ]
    assert lines == [
        ("rate_limit.local", "warning", "llm", "ConnectionError"),
        ("rate_limit.shared", "info", "llm", None),
    ]


async def test_without_redis_one_waits_as_the_local_limit_says() -> None:
    server, clock = fakeredis.FakeServer(), FakeClock()
    server.connected = False
    policy = RateLimitPolicy(requests_per_minute=60, burst=1)
    async with fakeredis.FakeAsyncRedis(server=server) as redis:
        limiter = RedisLimiter("llm", policy, redis, sleep=clock.sleep, clock=clock.monotonic)
        assert [await limiter.acquire() for _ in range(3)] == [0, 1, 1]
    assert clock.sleeps == [1, 1]
