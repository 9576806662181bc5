"""The simulation beside the real thing: a real Redis, and four real processes."""

import asyncio
import os

import pytest

from scripts.simulate.compare import CONDITIONS, Outcome, Pair, best_of
from scripts.simulate.costs import costs
from scripts.simulate.measure import measure
from tests.redis.conftest import SERVER

real = pytest.mark.skipif(
    SERVER is None and "REDIS_TEST_URL" not in os.environ,
    reason="neither REDIS_TEST_URL nor a redis-server",
)
_REPEATS = 1000
# The prefix of the keys is longer there by so much, and numbers may have other lengths.
_PREFIX_BYTES, _DIGITS = 14, 20


@real
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_real_redis_counts_the_same_bytes(url: str) -> None:
    measured = await measure(url, _REPEATS)
    counted = {cost.name: cost for cost in await asyncio.to_thread(costs)}
    different = {
        each.name: (each, counted[each.name])
        for each in measured[:-1]  # calls of `/readyz` at the same time are one
        if not 0 <= each.sent_bytes - counted[each.name].sent_bytes <= 3 * _PREFIX_BYTES + _DIGITS
        or abs(each.received_bytes - counted[each.name].received_bytes) > _DIGITS
    }
    assert different == {}


@real
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CONDITIONS)
async def test_four_processes_and_the_simulation_agree_within_10_percent(
    name: str, url: str
) -> None:
    pair = await asyncio.to_thread(best_of, 5, CONDITIONS[name], url)
    assert pair.agrees, f"\n{pair}"


def test_a_pair_disagrees_if_one_number_differs_by_more_than_10_percent() -> None:
    real_one = Outcome(calls=100, refusals=50, p99_ms=1000)
    assert Pair(real_one, Outcome(calls=109, refusals=46, p99_ms=1090)).agrees
    for other in (Outcome(111, 50, 1000), Outcome(100, 44, 1000), Outcome(100, 50, 1110)):
        assert not Pair(real_one, other).agrees
