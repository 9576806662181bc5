"""A worker is killed while a provider has a part of its job: nothing is sent or charged twice."""

import asyncio
from dataclasses import replace

import pytest

from app.clients.ledger import LocalLedger
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_parts import RedisParts
from tests.features.jobs.both_sides import progress_of, results
from tests.features.jobs.provider_side import (
    ANSWER_USD,
    AT_ONCE,
    Side,
    accounts,
    queued,
)
from tests.llm.fake_batches import Crashed


@pytest.mark.parametrize("certain", [True, False], ids=["key-is-stored", "key-is-in-results"])
@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_worker_that_is_killed_while_it_sends_sends_nothing_twice(
    redis_side: Side, lost: str, *, certain: bool
) -> None:
    side = redis_side
    side.api.certain = certain
    setattr(side.api, lost, [Crashed()])
    await queued(side.jobs, "a", "b")
    await side.killed()
    await side.until_over()
    assert side.api.questions == ["a", "b"]
    assert (await progress_of(side.jobs)).succeeded == 2


async def test_a_candidate_that_runs_is_waited_for_before_anything_is_sent_again(
    redis_side: Side,
) -> None:
    side = redis_side
    side.api.certain, side.api.looks, side.api.after = False, 3, [Crashed()]
    await queued(side.jobs, "a", "b")
    await side.killed()
    for _ in range(2):
        assert await side.look() is not None
        assert len(side.api.submitted) == 1
    await side.until_over()
    assert side.api.questions == ["a", "b"]


async def test_a_worker_that_is_killed_between_sending_and_collecting_is_replaced(
    redis_side: Side,
) -> None:
    side = redis_side
    side.api.polls = [Crashed()]
    await queued(side.jobs, "a", "b")
    await side.look()
    await side.killed()
    await side.until_over()
    assert side.api.questions == ["a", "b"]
    assert (await progress_of(side.jobs)).state == "completed"


async def test_a_worker_that_is_killed_while_it_stores_results_charges_each_once(
    redis_side: Side,
) -> None:
    side, ledger = redis_side, LocalLedger()
    side.accounts = accounts(ledger, budget_usd_per_day=1000)
    items = [f"q{number}" for number in range(40)]
    await queued(side.jobs, *items, client="acme")
    await side.look()
    stores: list[int] = []

    def crash_at_the_third() -> None:
        stores.append(1)
        if len(stores) == 3:
            raise Crashed

    side.before_store = crash_at_the_third
    await side.killed()
    assert 0 < (await progress_of(side.jobs)).succeeded < 40
    await side.until_over()
    assert (await progress_of(side.jobs)).succeeded == 40
    assert side.api.questions == items
    assert side.metrics.value("client_cost_usd_total") == pytest.approx(40 * ANSWER_USD)


async def test_a_part_that_ends_its_workers_fails_after_so_many_claims(redis_side: Side) -> None:
    side = redis_side
    side.policy = replace(AT_ONCE, max_deliveries=2)
    side.api.looks = 100
    await queued(side.jobs, "a")
    await side.look()
    side.api.polls = [Crashed(), Crashed()]
    await side.killed()
    await side.killed()
    await side.until_over()
    assert "2 workers ended" in (await results(side.jobs))[0]["detail"]
    assert side.api.cancelled == ["batch_1"]


async def test_a_worker_that_lost_its_part_does_not_take_it_back(redis_side: Side) -> None:
    side = redis_side
    await queued(side.jobs, "a")
    part = await side.claimed()
    assert part is not None
    assert side.jobs.shared is not None
    await asyncio.sleep(0.002)  # the lease of the fake Redis has whole milliseconds
    other = RedisParts(side.jobs.shared, JobsPolicy())
    assert await other.claim() == replace(part, number=2)
    assert not await side.jobs.parts.hold(part)
    await side.jobs.parts.finish(part)
    assert await other.hold(part)
