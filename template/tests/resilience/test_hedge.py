"""In simulated time: thousands of calls of seconds take no seconds."""

import asyncio
import random
from collections.abc import Iterable

import pytest

from app.resilience.hedge import Hedge, HedgePolicy
from app.resilience.race import Call
from tests.resilience.virtual_time import now, run

EAGER = HedgePolicy(after_s=2, max_extra=1)


class AwayError(Exception):
    pass


class Bench:
    def __init__(self, policy: HedgePolicy = EAGER) -> None:
        self.reports: list[tuple[float, int]] = []
        self.made: list[str] = []
        self.discarded: list[str] = []
        self.calls = 0
        self.running = 0
        self.hedge = Hedge(policy, catch=AwayError, report=self._report)

    def takes(self, seconds: float, value: str = "", error: Exception | None = None) -> Call[str]:
        async def call() -> str:
            self.calls += 1
            self.running += 1
            try:
                await asyncio.sleep(seconds)
            finally:
                self.running -= 1
            if error is not None:
                raise error
            self.made.append(value)
            return value

        return call

    async def hedged(self, first: Call[str], second: Call[str]) -> str:
        return await self.hedge(first, second, discard=self._discard)

    async def latencies(self, pairs: Iterable[tuple[float, float]]) -> list[float]:
        """How long each call took that would take the first time, or the second when asked twice."""
        taken = []
        for first, second in pairs:
            started = now()
            await self.hedge(self.takes(first), self.takes(second))
            taken.append(now() - started)
        return taken

    async def _discard(self, value: str) -> None:
        self.discarded.append(value)

    def _report(self, after_s: float, winner: int, /) -> None:
        self.reports.append((after_s, winner))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_quick_answer_is_asked_for_once(bench: Bench) -> None:
    assert run(bench.hedge(bench.takes(1.9, "first"), bench.takes(0, "second"))) == "first"
    assert (bench.calls, bench.reports) == (1, [])


def test_a_slow_one_is_asked_for_twice_and_the_loser_has_ended(bench: Bench) -> None:
    assert run(bench.hedge(bench.takes(9, "first"), bench.takes(1, "second"))) == "second"
    assert (bench.calls, bench.running) == (2, 0)
    assert bench.reports == [(2, 1)]


def test_the_first_may_still_win(bench: Bench) -> None:
    assert run(bench.hedge(bench.takes(3, "first"), bench.takes(5, "second"))) == "first"
    assert bench.running == 0
    assert bench.reports == [(2, 0)]


def test_an_early_error_is_not_slow(bench: Bench) -> None:
    with pytest.raises(AwayError):
        run(bench.hedge(bench.takes(1, error=AwayError()), bench.takes(1, "second")))
    assert bench.calls == 1


def test_an_error_after_the_hedge_leaves_the_second_call_running(bench: Bench) -> None:
    first = bench.takes(3, error=AwayError())
    assert run(bench.hedge(first, bench.takes(5, "second"))) == "second"


def test_an_error_of_the_second_call_leaves_the_first_running(bench: Bench) -> None:
    second = bench.takes(1, error=AwayError())
    assert run(bench.hedge(bench.takes(9, "first"), second)) == "first"
    assert bench.reports == [(2, 0)]


@pytest.mark.parametrize("after_s", [1, 3], ids=["before the hedge", "after it"])
def test_cancelling_ends_both(bench: Bench, after_s: float) -> None:
    async def cancelled() -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(after_s):
                await bench.hedge(bench.takes(9), bench.takes(9))
        return bench.running

    assert run(cancelled()) == 0


def test_of_two_that_arrive_together_one_is_discarded(bench: Bench) -> None:
    assert run(bench.hedged(bench.takes(3, "first"), bench.takes(1, "second"))) == "first"
    assert bench.discarded == ["second"]


@pytest.mark.parametrize("turns", range(4))
def test_no_value_is_lost_whenever_the_hedge_is_cancelled(bench: Bench, turns: int) -> None:
    async def cancelled() -> list[str]:
        hedging = asyncio.create_task(bench.hedged(bench.takes(1, "first"), bench.takes(9)))
        await asyncio.sleep(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        hedging.cancel()
        (end,) = await asyncio.gather(hedging, return_exceptions=True)
        return [*bench.discarded, *([end] if isinstance(end, str) else [])]

    assert run(cancelled()) == bench.made
    assert bench.running == 0


def test_without_a_delay_no_call_is_hedged() -> None:
    bench = Bench(HedgePolicy(after_s=None, adaptive=True, max_extra=1))
    run(bench.latencies([(99, 0)] * 50))
    assert bench.calls == 50


def test_when_everything_is_slow_one_call_in_ten_is_asked_twice_from_the_start() -> None:
    bench = Bench(HedgePolicy(after_s=1, max_extra=0.1))
    for done in range(1, 200):
        run(bench.latencies([(5, 5)]))
        assert bench.calls - done == done // 10


def test_a_quiet_time_saves_some_hedges_and_not_all() -> None:
    bench = Bench(HedgePolicy(after_s=1, max_extra=0.1))
    run(bench.latencies([(0.5, 0)] * 1_000))
    assert bench.calls == 1_000
    run(bench.latencies([(5, 5)] * 20))
    assert bench.calls == 1_020 + 11


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


@pytest.mark.slow
@pytest.mark.parametrize("adaptive", [False, True], ids=["fixed delay", "observed delay"])
def test_stragglers_cost_the_slowest_percent_a_third_at_most_for_a_tenth_more_calls(
    *, adaptive: bool
) -> None:
    """Five calls of a hundred take 10 s instead of about one."""
    chance = random.Random(7)  # noqa: S311 - reproducible

    def duration() -> float:
        return chance.uniform(0.8, 1.2) if chance.random() > 0.05 else 10.0

    pairs = [(duration(), duration()) for _ in range(5_000)]
    bench = Bench(HedgePolicy(after_s=1.5, adaptive=adaptive))
    hedged = run(bench.latencies(pairs))
    assert percentile(hedged, 0.99) * 3 <= percentile([first for first, _ in pairs], 0.99)
    assert bench.calls <= len(pairs) * 1.1


def test_the_delay_is_learned_from_the_durations_of_calls() -> None:
    bench = Bench(HedgePolicy(after_s=30, adaptive=True, max_extra=1))
    run(bench.latencies([(n / 100, 99) for n in range(1, 101)]))
    run(bench.latencies([(50, 1)]))
    assert bench.reports[-1][0] == pytest.approx(0.96)


def test_slow_calls_do_not_raise_the_delay_that_they_are_measured_by() -> None:
    bench = Bench(HedgePolicy(after_s=2, adaptive=True, max_extra=1))
    run(bench.latencies([(50, 30)] * 100))
    assert {round(after_s, 6) for after_s, _ in bench.reports} == {2}


def test_the_delay_is_that_of_the_last_hundred_calls() -> None:
    bench = Bench(HedgePolicy(after_s=30, adaptive=True, max_extra=1))
    run(bench.latencies([(1, 99)] * 100 + [(0.1, 99)] * 100))
    run(bench.latencies([(50, 1)]))
    assert bench.reports[-1][0] == pytest.approx(0.1)


def test_too_few_calls_do_not_change_the_delay() -> None:
    bench = Bench(HedgePolicy(after_s=30, adaptive=True, max_extra=1))
    run(bench.latencies([(1, 0)] * 19))
    run(bench.latencies([(50, 1)]))
    assert bench.reports == [(30, 1)]


def test_no_answer_is_too_fast_to_be_waited_for() -> None:
    bench = Bench(HedgePolicy(after_s=30, adaptive=True, max_extra=1))
    run(bench.latencies([(0, 0)] * 20))
    run(bench.latencies([(50, 1)]))
    assert bench.reports[0][0] == pytest.approx(0.01)
