import asyncio

import pytest

from app.resilience.rate_limit import LimitExceededError, LocalLimiter, RateLimitPolicy, _Log
from app.testing import FakeClock
from tests.resilience import callers, virtual_time
from tests.resilience.arrivals import most_within, overdraft
from tests.resilience.callers import Caller


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def limiter(clock: FakeClock, policy: RateLimitPolicy) -> LocalLimiter:
    return LocalLimiter(policy, sleep=clock.sleep, clock=clock.monotonic)


async def arrivals(limited: LocalLimiter, clock: FakeClock, calls: int) -> dict[int, float]:
    """Make so many calls at once; the time of each, by its number, in the order of their turns."""
    made: dict[int, float] = {}

    async def call(number: int) -> None:
        await limited.acquire()
        made[number] = clock.now

    await asyncio.gather(*(call(number) for number in range(calls)))
    return made


async def test_two_hundred_at_once_are_a_burst_and_then_the_rate(clock: FakeClock) -> None:
    policy = RateLimitPolicy(requests_per_minute=100, max_wait_s=60)
    made = await arrivals(limiter(clock, policy), clock, 200)
    assert list(made) == list(range(200))  # no call starves, no call overtakes
    assert overdraft(list(made.values()), burst=100, per_minute=100) <= 1e-6
    assert made[199] - made[0] == pytest.approx(60)  # all of the rate is used


async def test_strict_is_never_more_than_the_limit_in_a_minute(clock: FakeClock) -> None:
    policy = RateLimitPolicy(requests_per_minute=100, strict=True, max_wait_s=60)
    made = await arrivals(limiter(clock, policy), clock, 200)
    assert list(made) == list(range(200))
    assert most_within(60, list(made.values())) == 100
    assert made[199] - made[0] == pytest.approx(60)


async def test_a_burst_of_the_configured_size_passes_at_once(clock: FakeClock) -> None:
    policy = RateLimitPolicy(requests_per_minute=60, burst=3, max_wait_s=60)
    made = await arrivals(limiter(clock, policy), clock, 6)
    assert [time - 1000 for time in made.values()] == pytest.approx([0, 0, 0, 1, 2, 3])


async def test_a_pause_fills_the_bucket_and_not_more(clock: FakeClock) -> None:
    limited = limiter(clock, RateLimitPolicy(requests_per_minute=60, burst=3, max_wait_s=60))
    await arrivals(limited, clock, 3)
    clock.now += 3600
    made = await arrivals(limited, clock, 5)
    assert [time - 4600 for time in made.values()] == pytest.approx([0, 0, 0, 1, 2])


@pytest.mark.parametrize("strict", [False, True], ids=["bucket", "strict"])
async def test_a_sleep_that_takes_too_long_delays_one_call_only(
    clock: FakeClock, *, strict: bool
) -> None:
    async def oversleep(seconds: float) -> None:
        await clock.sleep(seconds + 0.4)

    policy = RateLimitPolicy(requests_per_minute=60, burst=30, strict=strict, max_wait_s=600)
    limited = LocalLimiter(policy, sleep=oversleep, clock=clock.monotonic)
    made = list((await arrivals(limited, clock, 150)).values())
    assert made[149] - made[0] <= 120 + 2 * 0.4 + 1e-6


def test_a_log_holds_the_calls_of_one_window_and_no_more() -> None:
    log = _Log(RateLimitPolicy(requests_per_minute=3, strict=True))
    for second in range(1000):
        log.take(second)
    assert [*log._made] == [997, 998, 999]


async def test_a_turn_has_the_time_it_waited(clock: FakeClock) -> None:
    limited = limiter(clock, RateLimitPolicy(requests_per_minute=60, burst=1))
    assert await limited.acquire() == 0
    clock.now += 0.25
    assert await limited.acquire() == pytest.approx(0.75)


@pytest.mark.parametrize("strict", [False, True], ids=["bucket", "strict"])
async def test_a_call_that_would_wait_too_long_is_refused_at_once(
    clock: FakeClock, *, strict: bool
) -> None:
    wait_s = 60 if strict else 30
    policy = RateLimitPolicy(requests_per_minute=2, burst=2, strict=strict, max_wait_s=wait_s - 0.1)
    limited = limiter(clock, policy)
    await arrivals(limited, clock, 2)
    with pytest.raises(LimitExceededError, match=rf"^No more calls for {wait_s}\.000 s") as raised:
        await limited.acquire()
    assert raised.value.retry_after_s == pytest.approx(wait_s)
    assert clock.sleeps == []
    clock.now += raised.value.retry_after_s
    assert await limited.acquire() == 0


@pytest.mark.parametrize("strict", [False, True], ids=["bucket", "strict"])
def test_waiting_calls_count_for_the_wait_of_new_ones(*, strict: bool) -> None:
    async def scenario() -> tuple[int, list[float]]:
        policy = RateLimitPolicy(requests_per_minute=2, burst=2, strict=strict, max_wait_s=120)
        limited = LocalLimiter(policy, clock=virtual_time.now)
        calls = [asyncio.create_task(limited.acquire()) for _ in range(10)]
        ends = await asyncio.gather(*calls, return_exceptions=True)
        refusals = [end.retry_after_s for end in ends if isinstance(end, LimitExceededError)]
        return len(ends) - len(refusals), refusals

    made, refusals = virtual_time.run(scenario())
    assert made == 6
    assert refusals == pytest.approx([180 if strict else 150] * 4)


@pytest.mark.parametrize("patience_s", [0.5, 100], ids=["cancelled", "served"])
def test_cancelled_calls_no_longer_count(patience_s: float) -> None:
    async def scenario() -> int:
        limited = LocalLimiter(
            RateLimitPolicy(requests_per_minute=60, burst=1, max_wait_s=1), clock=virtual_time.now
        )
        coming = [Caller(0), Caller(0, patience_s), Caller(3), Caller(0)]
        return len(await callers.turns([limited], coming))

    assert virtual_time.run(scenario()) == (4 if patience_s > 1 else 3)


@pytest.mark.parametrize("leaver", [3, 4], ids=["the first waiter", "one behind"])
def test_a_cancelled_waiter_gives_its_place_back(leaver: int) -> None:
    async def scenario() -> dict[int, float]:
        policy = RateLimitPolicy(requests_per_minute=60, burst=3)
        limited, began = LocalLimiter(policy, clock=virtual_time.now), virtual_time.now()
        made = {}

        async def call(number: int) -> None:
            await limited.acquire()
            made[number] = virtual_time.now() - began

        calls = [asyncio.create_task(call(number)) for number in range(7)]
        await asyncio.sleep(0.5)
        calls[leaver].cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        return made

    made = virtual_time.run(scenario())
    others = [number for number in range(7) if number != leaver]
    assert list(made) == others
    assert list(made.values()) == pytest.approx([0, 0, 0, 1, 2, 3])


def test_a_new_call_waits_behind_the_waiting_ones() -> None:
    async def scenario() -> list[str]:
        policy = RateLimitPolicy(requests_per_minute=60, burst=1)
        limited = LocalLimiter(policy, clock=virtual_time.now)
        order = []

        async def call(name: str, after_s: float) -> None:
            await asyncio.sleep(after_s)
            await limited.acquire()
            order.append(name)

        await asyncio.gather(call("c", 1.0), call("a", 0.0), call("b", 0.9), call("d", 2.0))
        return order

    assert virtual_time.run(scenario()) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("strict", [False, True], ids=["bucket", "strict"])
async def test_a_cancelled_turn_is_free_for_one_other_call(
    clock: FakeClock, *, strict: bool
) -> None:
    limited = limiter(clock, RateLimitPolicy(requests_per_minute=2, strict=strict, max_wait_s=60))
    await limited.acquire()
    await limited.acquire()
    await limited.cancel()
    assert await limited.acquire() == 0
    assert await limited.acquire() > 0
