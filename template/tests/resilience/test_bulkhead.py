"""The bulkhead under load, in simulated time: the figures are exact."""

import asyncio
import random
from dataclasses import dataclass, field
from statistics import median

import pytest

from app.resilience.bulkhead import Bulkhead, BulkheadFullError, QueuePolicy, waiting
from tests.resilience import virtual_time
from tests.resilience.virtual_time import now

CALL_S = 1.0


@dataclass
class Load:
    """Calls through a bulkhead: the latency of accepted ones, and the refusals with their times."""

    bulkhead: Bulkhead
    latencies: dict[str, list[float]] = field(default_factory=dict)
    refusals: list[tuple[float, BulkheadFullError]] = field(default_factory=list)

    async def call(self, client: str = "", *, lasts_s: float = CALL_S) -> bool:
        started = now()
        try:
            await self.bulkhead.take(client)
        except BulkheadFullError as error:
            self.refusals.append((now() - started, error))
            return False
        await asyncio.sleep(lasts_s)
        self.bulkhead.release(client)
        self.latencies.setdefault(client, []).append(now() - started)
        return True

    async def arrive(self, per_s: float, until_s: float) -> None:
        """Open load: calls come at a rate, whether or not earlier ones have ended."""
        end = now() + until_s
        async with asyncio.TaskGroup() as calls:
            while now() < end:
                calls.create_task(self.call())
                await asyncio.sleep(1 / per_s)

    async def keep_calling(self, client: str, until_s: float) -> None:
        """Closed load: one connection of a client that calls again at once, or after a refusal."""
        end = now() + until_s
        while now() < end:
            if not await self.call(client):
                await asyncio.sleep(0.25)

    @property
    def reasons(self) -> set[str]:
        return {error.reason for _, error in self.refusals}


def test_calls_up_to_the_size_do_not_wait() -> None:
    async def scenario() -> list[float]:
        load = Load(Bulkhead(10))
        await asyncio.gather(*(load.call() for _ in range(10)))
        return load.latencies[""]

    assert virtual_time.run(scenario()) == [CALL_S] * 10


def test_half_as_many_wait_as_run_and_the_others_fail_at_once() -> None:
    async def scenario() -> Load:
        load = Load(Bulkhead(10))
        await asyncio.gather(*(load.call() for _ in range(30)))
        return load

    load = virtual_time.run(scenario())
    assert sorted(load.latencies[""]) == [CALL_S] * 10 + [2 * CALL_S] * 5
    assert [after_s for after_s, _ in load.refusals] == [0.0] * 15
    assert load.reasons == {"full"}


def test_at_five_times_the_load_accepted_calls_take_less_than_twice_as_long() -> None:
    async def scenario() -> Load:
        load = Load(Bulkhead(10))
        await load.arrive(per_s=50, until_s=20)
        return load

    load = virtual_time.run(scenario())
    latencies = load.latencies[""]
    assert len(latencies) == pytest.approx(200, abs=20)  # all of the capacity is used
    assert max(latencies) < 2 * CALL_S
    assert max(after_s for after_s, _ in load.refusals) == 0


def test_after_an_overload_the_next_call_does_not_wait() -> None:
    async def scenario() -> float:
        load = Load(Bulkhead(10))
        await load.arrive(per_s=50, until_s=10)
        load.latencies.clear()
        await load.call()
        return load.latencies[""][0]

    assert virtual_time.run(scenario()) == CALL_S


def test_a_greedy_client_does_not_slow_a_modest_one_to_half_its_speed() -> None:
    async def scenario() -> Load:
        load = Load(Bulkhead(10))
        greedy = [load.keep_calling("greedy", 20) for _ in range(100)]
        modest = [load.keep_calling("modest", 20) for _ in range(2)]
        await asyncio.gather(*greedy, *modest)
        return load

    load = virtual_time.run(scenario())
    assert median(load.latencies["modest"]) < 1.5 * CALL_S
    assert len(load.latencies["modest"]) > 20  # of 40 alone
    assert len(load.latencies["greedy"]) > 140  # the places are not kept for the modest one


def test_a_client_of_weight_three_gets_three_quarters_of_the_places() -> None:
    async def scenario() -> Load:
        load = Load(Bulkhead(8, weights={"gold": 3}))
        clients = [load.keep_calling(n, 20) for n in ("gold", "plain") for _ in range(20)]
        await asyncio.gather(*clients)
        return load

    load = virtual_time.run(scenario())
    share = len(load.latencies["gold"]) / len(load.latencies["plain"])
    assert share == pytest.approx(3, rel=0.2)


def test_a_full_queue_drops_the_greedy_clients_newest_call_for_a_modest_one() -> None:
    async def scenario() -> Load:
        load = Load(Bulkhead(2, QueuePolicy(length=2)))
        greedy = [asyncio.create_task(load.call("greedy")) for _ in range(4)]
        await asyncio.sleep(0)
        await asyncio.gather(load.call("modest"), *greedy)
        return load

    load = virtual_time.run(scenario())
    assert load.latencies == {"greedy": [CALL_S, CALL_S, 2 * CALL_S], "modest": [2 * CALL_S]}
    assert load.reasons == {"displaced"}


@pytest.mark.parametrize("weights", [{}, {"a": 3}], ids=["equal", "weights"])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_refusal_is_known_before_the_call(length: int, weights: dict[str, int]) -> None:
    """For any calls of three clients, `refuses` says what `take` does next."""
    dice = random.Random(length)  # noqa: S311 - no secret

    async def scenario() -> set[bool]:
        load = Load(Bulkhead(2, QueuePolicy(length=length), weights))
        seen: set[bool] = set()
        calls: list[asyncio.Task[bool]] = []
        for _ in range(300):
            client = dice.choice("aabc")
            expected, before = load.bulkhead.refuses(client), len(load.refusals)
            calls.append(asyncio.create_task(load.call(client, lasts_s=dice.random())))
            await asyncio.sleep(0)
            refused = [error.reason for _, error in load.refusals[before:]]
            assert (refused == ["full"]) == expected
            seen.add(expected)
            await asyncio.sleep(dice.random() / 10)
        await asyncio.gather(*calls)
        return seen

    assert virtual_time.run(scenario()) == {True, False}


def test_a_call_that_waits_for_too_long_fails() -> None:
    async def scenario() -> Load:
        load = Load(Bulkhead(1, QueuePolicy(timeout_s=3)))
        await asyncio.gather(load.call(lasts_s=60), load.call())
        assert load.bulkhead.waiting == 0
        return load

    load = virtual_time.run(scenario())
    assert [after_s for after_s, _ in load.refusals] == [3.0]
    assert load.reasons == {"timeout"}


def test_a_call_that_may_not_wait_fails_at_once_only_if_all_places_are_taken() -> None:
    async def scenario() -> Load:
        load = Load(Bulkhead(1))
        with waiting(allowed=False):
            await asyncio.gather(load.call(), load.call())
        await load.call()
        return load

    load = virtual_time.run(scenario())
    assert load.latencies[""] == [CALL_S] * 2
    assert load.reasons == {"busy"}


def test_a_queue_of_length_zero_lets_no_call_wait() -> None:
    async def scenario() -> Load:
        load = Load(Bulkhead(1, QueuePolicy(length=0)))
        await asyncio.gather(load.call(), load.call())
        return load

    assert len(virtual_time.run(scenario()).refusals) == 1


@pytest.mark.parametrize(
    ("size", "length", "expected_s"),
    [
        pytest.param(10, 50, 5.0, id="fifty calls leave at ten a second"),
        pytest.param(10, 5, 1.0, id="never below a second"),
    ],
)
def test_the_pause_is_the_time_in_which_the_queue_drains(
    size: int, length: int, expected_s: float
) -> None:
    async def scenario() -> float:
        load = Load(Bulkhead(size, QueuePolicy(length=length, timeout_s=20)))
        await load.arrive(per_s=5 * size, until_s=15)
        return load.refusals[len(load.refusals) // 2][1].retry_after_s

    assert virtual_time.run(scenario()) == pytest.approx(expected_s, rel=0.2)


def test_while_nothing_drains_the_pause_is_the_timeout() -> None:
    async def scenario() -> float:
        load = Load(Bulkhead(1, QueuePolicy(length=1, timeout_s=7)))
        calls = [asyncio.create_task(load.call()) for _ in range(3)]
        await asyncio.gather(*calls)
        return load.refusals[0][1].retry_after_s

    assert virtual_time.run(scenario()) == 7.0


def test_the_pause_follows_a_provider_that_becomes_slow() -> None:
    async def scenario() -> tuple[float, float]:
        load = Load(Bulkhead(10, QueuePolicy(length=20, timeout_s=60)))
        await busy(load, lasts_s=0.1, until_s=5)
        fast = load.refusals[-1][1].retry_after_s
        await busy(load, lasts_s=5.0, until_s=30)
        return fast, load.refusals[-1][1].retry_after_s

    async def busy(load: Load, *, lasts_s: float, until_s: float) -> None:
        end = now() + until_s
        async with asyncio.TaskGroup() as calls:
            while now() < end:
                for _ in range(10):
                    calls.create_task(load.call(lasts_s=lasts_s))
                await asyncio.sleep(0.05)

    fast, slow = virtual_time.run(scenario())
    assert fast == 1.0
    assert 5 <= slow <= 20  # ten at the mean rate; places become free ten at a time
