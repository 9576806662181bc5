"""The limits of several processes while Redis is away: each process keeps to its share."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import fakeredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import LimitExceededError, RateLimitPolicy
from tests.redis.processes import processes, run
from tests.resilience import virtual_time
from tests.resilience.arrivals import most_within, overdraft

BUCKET = RateLimitPolicy(requests_per_minute=60, max_wait_s=0)
STRICT = replace(BUCKET, strict=True)
each_policy = pytest.mark.parametrize("policy", [BUCKET, STRICT], ids=["bucket", "strict"])
TOKENS = 10


class Calls:
    """The calls that a number of processes made, while a Redis disappears and comes back."""

    def __init__(self, limiters: Sequence[RedisLimiter], server: fakeredis.FakeServer) -> None:
        self.made: list[float] = []
        self._limiters = limiters
        self._server = server

    def redis(self, *, answers: bool) -> None:
        self._server.connected = answers

    async def attempt(self, each: int, of: Sequence[int] = (0, 1, 2)) -> int:
        """So many attempts of each process at once; the number of calls that were allowed."""
        before = len(self.made)
        for _ in range(each):
            for process in of:
                try:
                    await self._limiters[process].acquire(TOKENS)
                except LimitExceededError:
                    continue
                self.made.append(virtual_time.now())
        return len(self.made) - before

    async def attempt_for(self, seconds: float, of: Sequence[int] = (0, 1, 2)) -> int:
        """Attempts of each process in bursts, six times as often as the limit allows."""
        before = len(self.made)
        for _ in range(round(seconds / 2)):
            await self.attempt(4, of)
            await asyncio.sleep(2)
        return len(self.made) - before


def play(policy: RateLimitPolicy, scenario: Callable[[Calls], Awaitable[None]]) -> list[float]:
    async def played() -> list[float]:
        server = fakeredis.FakeServer()
        async with processes(policy, 3, server) as limiters:
            calls = Calls(limiters, server)
            await scenario(calls)
            return calls.made

    return run(played())


def exceeds(policy: RateLimitPolicy, made: Sequence[float], *, bursts: int) -> bool:
    """Whether the calls of any time are more than the refill of that time and so many bursts."""
    if policy.strict:
        return most_within(60, made) > bursts * policy.requests_per_minute
    return overdraft(made, burst=bursts * policy.bucket, per_minute=60) > 1e-5


@each_policy
def test_three_idle_processes_have_one_burst_together(policy: RateLimitPolicy) -> None:
    async def scenario(calls: Calls) -> None:
        await calls.attempt(2)
        await asyncio.sleep(120)
        calls.redis(answers=False)
        assert await calls.attempt(100) == 60

    play(policy, scenario)


@each_policy
def test_calls_that_redis_admitted_are_not_available_again(policy: RateLimitPolicy) -> None:
    async def scenario(calls: Calls) -> None:
        assert await calls.attempt(100) == 60
        calls.redis(answers=False)
        assert await calls.attempt(100) == 0

    play(policy, scenario)


@each_policy
def test_a_process_that_used_more_than_its_share_waits_for_its_share_only(
    policy: RateLimitPolicy,
) -> None:
    async def scenario(calls: Calls) -> None:
        await calls.attempt(2)
        await calls.attempt(54, [0])
        calls.redis(answers=False)
        assert await calls.attempt(100, [0]) == 0
        await asyncio.sleep(61)
        assert await calls.attempt(100, [0]) == 20

    play(policy, scenario)


@each_policy
def test_a_long_outage_has_the_rate_of_the_limit(policy: RateLimitPolicy) -> None:
    async def scenario(calls: Calls) -> None:
        await calls.attempt(2)
        await asyncio.sleep(120)
        calls.redis(answers=False)
        made = await calls.attempt_for(300)
        assert made >= 300
        assert not exceeds(policy, calls.made, bursts=1)

    play(policy, scenario)


@each_policy
def test_after_an_outage_redis_knows_its_calls(policy: RateLimitPolicy) -> None:
    async def scenario(calls: Calls) -> None:
        await calls.attempt(2)
        await asyncio.sleep(120)
        calls.redis(answers=False)
        assert await calls.attempt(20) == 60
        calls.redis(answers=True)
        await asyncio.sleep(6)  # the guard uses Redis again when it has worked for three seconds
        # The refill of 6 s, and a call before another process reports.
        assert await calls.attempt(10) <= (2 if policy.strict else 8)

    play(policy, scenario)


def test_tokens_of_an_outage_are_shared_and_reported_too() -> None:
    policy = RateLimitPolicy(requests_per_minute=6_000, tokens_per_minute=600, max_wait_s=0)

    async def scenario(calls: Calls) -> None:
        await calls.attempt(2)
        await asyncio.sleep(120)
        calls.redis(answers=False)
        assert await calls.attempt(100) == 60
        calls.redis(answers=True)
        await asyncio.sleep(6)
        assert await calls.attempt(10) <= 8

    play(policy, scenario)


def test_a_process_that_has_left_no_longer_counts() -> None:
    async def scenario(calls: Calls) -> None:
        await calls.attempt(1)
        await asyncio.sleep(301)
        await calls.attempt(1, [0])
        await asyncio.sleep(120)
        calls.redis(answers=False)
        assert await calls.attempt(100, [0]) == 60

    play(BUCKET, scenario)


def test_in_an_outage_calls_wait_in_order() -> None:
    async def scenario() -> list[float]:
        server = fakeredis.FakeServer()
        async with processes(replace(BUCKET, burst=1, max_wait_s=10), 1, server) as (limiter,):
            server.connected = False
            return [await limiter.acquire() for _ in range(3)]

    assert run(scenario()) == pytest.approx([0, 1, 1])


# Seconds of load, by which processes, and whether Redis answers meanwhile.
_PHASES = st.lists(
    st.tuples(st.integers(0, 40), st.sets(st.integers(0, 2)), st.booleans()), max_size=4
)


@pytest.mark.slow
@each_policy
@settings(max_examples=5)
@given(phases=_PHASES)
def test_outages_add_one_limit_at_most(
    policy: RateLimitPolicy, phases: list[tuple[int, set[int], bool]]
) -> None:
    async def scenario(calls: Calls) -> None:
        await calls.attempt(2)
        for seconds, callers, answers in phases:
            calls.redis(answers=answers)
            await calls.attempt_for(seconds, sorted(callers))

    assert not exceeds(policy, play(policy, scenario), bursts=2)
