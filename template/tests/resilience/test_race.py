import asyncio

import pytest

from app.resilience.race import Call, first_completed, start
from tests.resilience.virtual_time import run


class AwayError(Exception):
    pass


class Calls:
    """Calls that take their time, and a record of how each of them ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.discarded: list[str] = []

    def takes(self, seconds: float, name: str, error: Exception | None = None) -> Call[str]:
        async def call() -> str:
            try:
                await asyncio.sleep(seconds)
            finally:
                try:
                    await asyncio.sleep(0)  # closing takes a moment
                finally:
                    self.ended.append(name)
            if error is not None:
                raise error
            return name

        return call

    async def discard(self, value: str) -> None:
        self.discarded.append(value)

    async def first(self, *calls: Call[str]) -> str:
        return await first_completed(
            [start(call) for call in calls], catch=AwayError, discard=self.discard
        )


@pytest.fixture
def calls() -> Calls:
    return Calls()


def test_the_fastest_wins_and_the_losers_have_ended(calls: Calls) -> None:
    racers = [calls.takes(3, "slow"), calls.takes(1, "fast"), calls.takes(2, "middle")]
    assert run(calls.first(*racers)) == "fast"
    assert sorted(calls.ended) == ["fast", "middle", "slow"]
    assert calls.discarded == []


def test_an_error_leaves_the_other_calls_running(calls: Calls) -> None:
    racers = [calls.takes(1, "bad", AwayError()), calls.takes(2, "good")]
    assert run(calls.first(*racers)) == "good"


def test_if_all_fail_the_first_calls_error_is_raised(calls: Calls) -> None:
    errors = [AwayError("slow"), AwayError("fast")]
    racers = [calls.takes(2, "slow", errors[0]), calls.takes(1, "fast", errors[1])]
    with pytest.raises(AwayError, match="slow"):
        run(calls.first(*racers))


def test_a_mistake_is_raised_at_once_and_ends_the_others(calls: Calls) -> None:
    racers = [calls.takes(9, "good"), calls.takes(1, "bad", KeyError("bug"))]
    with pytest.raises(KeyError):
        run(calls.first(*racers))
    assert calls.ended == ["bad", "good"]


def test_of_two_that_arrive_together_one_is_discarded(calls: Calls) -> None:
    assert run(calls.first(calls.takes(1, "one"), calls.takes(1, "two"))) == "one"
    assert calls.discarded == ["two"]


def test_a_value_that_arrives_together_with_a_mistake_is_discarded(calls: Calls) -> None:
    racers = [calls.takes(1, "bad", KeyError("bug")), calls.takes(1, "good")]
    with pytest.raises(KeyError):
        run(calls.first(*racers))
    assert calls.discarded == ["good"]


def test_cancelling_the_race_cancels_every_call(calls: Calls) -> None:
    async def cancelled() -> list[str]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await calls.first(calls.takes(2, "one"), calls.takes(3, "two"))
        return [*calls.ended]  # by now, and not only when the loop ends

    assert run(cancelled()) == ["one", "two"]


@pytest.mark.parametrize("turns", range(6))
def test_no_value_is_lost_whenever_the_race_is_cancelled(calls: Calls, turns: int) -> None:
    async def cancelled() -> str | None:
        racing = asyncio.create_task(calls.first(calls.takes(1, "one"), calls.takes(2, "two")))
        await asyncio.sleep(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        racing.cancel()
        (outcome,) = await asyncio.gather(racing, return_exceptions=True)
        return outcome if isinstance(outcome, str) else None

    kept = run(cancelled())
    assert sorted(calls.ended) == ["one", "two"]
    assert calls.discarded in ([], ["one"])
    assert kept is None or not calls.discarded
