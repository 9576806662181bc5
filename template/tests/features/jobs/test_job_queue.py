"""What only the queue in Redis does: deliver the batches of workers that have gone."""

import asyncio
from dataclasses import replace

import pytest
from redis.exceptions import ConnectionError as LostConnectionError

from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_keys import owner_tag
from app.features.jobs.redis_turns import RedisTurns
from app.features.jobs.store import Delivery, JobsUnavailableError, Outcome
from tests.features.jobs.both_sides import JOB, Jobs, spec

# The lease of the fake Redis runs on the real clock: 5 s would be a slow test.
NO_LEASE = JobsPolicy(lease_s=0)


async def taken(jobs: Jobs) -> Delivery:
    await jobs.store.add(spec(total=1), [[b"0"]])
    delivery = await jobs.queue.take()
    assert delivery is not None
    return delivery


async def test_the_batch_of_a_worker_that_has_gone_is_delivered_to_another_one(
    redis_jobs: Jobs,
) -> None:
    lost = await taken(redis_jobs)
    again = await redis_jobs.another_worker(NO_LEASE).take()
    assert again == replace(lost, number=2)


async def test_the_batch_of_a_worker_that_lives_is_left_to_it(
    redis_jobs: Jobs, policy: JobsPolicy
) -> None:
    await taken(redis_jobs)
    assert await redis_jobs.another_worker(policy).take() is None


async def test_a_worker_that_lost_its_batch_notices_and_does_not_take_it_back(
    redis_jobs: Jobs,
) -> None:
    lost = await taken(redis_jobs)
    other = redis_jobs.another_worker(NO_LEASE)
    await other.take()
    assert not await redis_jobs.queue.keep(lost)
    assert await other.keep(lost)


async def test_reports_are_no_deliveries(redis_jobs: Jobs) -> None:
    lost = await taken(redis_jobs)
    for _ in range(5):
        assert await redis_jobs.queue.keep(lost)
    again = await redis_jobs.another_worker(NO_LEASE).take()
    assert again is not None
    assert again.number == 2


async def test_a_worker_asks_for_lost_batches_a_few_times_per_lease(
    redis_jobs: Jobs, policy: JobsPolicy
) -> None:
    other = redis_jobs.another_worker(NO_LEASE)
    patient = redis_jobs.another_worker(policy)
    assert await patient.take() is None
    await taken(redis_jobs)
    assert await patient.take() is None
    assert await other.take() is not None
    redis_jobs.clock.now += policy.lease_s
    assert await patient.take() is None  # asked again: the other worker has just taken it


async def test_a_done_batch_leaves_nothing_in_the_queue(redis_jobs: Jobs) -> None:
    delivery = await taken(redis_jobs)
    await redis_jobs.queue.done(delivery)
    assert redis_jobs.shared is not None
    assert await redis_jobs.shared.client.xlen("app:{jobs}:queue") == 0
    assert await redis_jobs.another_worker(NO_LEASE).take() is None


async def test_a_batch_that_no_worker_got_after_its_turn_is_delivered(redis_jobs: Jobs) -> None:
    """The process was killed between the script that moved the batch and its own read."""
    await redis_jobs.store.add(spec(total=2), [[b"0"], [b"1"]])
    assert redis_jobs.shared is not None
    await RedisTurns(redis_jobs.shared).move_next()
    taken = [await redis_jobs.queue.take() for _ in range(3)]
    assert [each and each.start for each in taken] == [0, 1, None]


async def test_the_turns_leave_nothing_in_redis_when_no_batch_waits(redis_jobs: Jobs) -> None:
    delivery = await taken(redis_jobs)
    await redis_jobs.queue.done(delivery)
    assert await redis_jobs.queue.take() is None
    assert redis_jobs.shared is not None
    keys = [key async for key in redis_jobs.shared.client.scan_iter("app:{jobs}:queue:*")]
    assert keys == []


async def test_an_owner_without_waiting_batches_is_forgotten(redis_jobs: Jobs) -> None:
    await redis_jobs.store.add(spec(1, total=2, owner="one"), [[b"0"], [b"1"]])
    await redis_jobs.store.add(spec(2, total=1, owner="two"), [[b"0"]])
    for _ in range(2):
        await redis_jobs.queue.take()
    assert redis_jobs.shared is not None
    rounds = await redis_jobs.shared.client.hgetall("app:{jobs}:queue:rounds")
    assert sorted(rounds) == sorted([b"now", owner_tag("one").encode()])


async def test_the_age_of_a_batch_counts_from_its_job_and_not_from_its_turn(
    redis_jobs: Jobs,
) -> None:
    await redis_jobs.store.add(spec(total=2), [[b"0"], [b"1"]])
    await asyncio.sleep(0.05)
    await redis_jobs.queue.take()
    assert (await redis_jobs.queue.depth()).oldest_s >= 0.05


async def test_a_redis_that_lost_its_data_gets_a_new_queue(redis_jobs: Jobs) -> None:
    await taken(redis_jobs)
    assert redis_jobs.shared is not None
    await redis_jobs.shared.client.flushall()
    assert await redis_jobs.queue.take() is None
    assert (await taken(redis_jobs)).number == 1


async def test_a_job_that_was_never_queued_as_a_whole_costs_nothing(
    redis_jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.features.jobs.redis_queue._IDLE_S", 0)
    delivery = await taken(redis_jobs)
    assert redis_jobs.shared is not None
    await redis_jobs.shared.client.hdel(f"app:job:{{{JOB}}}:facts", "ready")
    assert await redis_jobs.queue.load(delivery) is None
    progress = await redis_jobs.store.progress(JOB)
    assert progress is not None
    assert progress.state == "cancelled"


async def test_a_worker_waits_until_a_job_is_queued_as_a_whole(redis_jobs: Jobs) -> None:
    delivery = await taken(redis_jobs)
    assert redis_jobs.shared is not None
    client, facts = redis_jobs.shared.client, f"app:job:{{{JOB}}}:facts"
    await client.hdel(facts, "ready")
    loading = asyncio.create_task(redis_jobs.queue.load(delivery))
    await asyncio.sleep(0.05)
    assert not loading.done()
    await client.hset(facts, "ready", "1")
    work = await loading
    assert work is not None
    assert work.items == {0: b"0"}


async def test_items_that_redis_has_lost_are_named(redis_jobs: Jobs) -> None:
    delivery = await taken(redis_jobs)
    assert redis_jobs.shared is not None
    await redis_jobs.shared.client.delete(f"app:job:{{{JOB}}}:inputs")
    work = await redis_jobs.queue.load(delivery)
    assert work is not None
    assert work.items == {0: None}


async def test_every_key_of_a_job_expires(redis_jobs: Jobs, policy: JobsPolicy) -> None:
    await redis_jobs.store.add(spec(total=2), [[b"0"], [b"1"]])
    await redis_jobs.queue.store(JOB, [Outcome(0, is_success=True, encoded=b"{}")])
    assert redis_jobs.shared is not None
    client = redis_jobs.shared.client
    keys = [key async for key in client.scan_iter() if b"queue" not in key]
    assert len(keys) == 5
    lasts = [await client.ttl(key) for key in keys]
    assert all(0 < seconds <= policy.results_ttl_s for seconds in lasts)


async def test_without_redis_a_job_is_refused_and_nothing_hangs(
    redis_jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        await asyncio.sleep(0)
        raise LostConnectionError

    assert redis_jobs.shared is not None
    monkeypatch.setattr(redis_jobs.shared.client, "execute_command", fail)
    with pytest.raises(JobsUnavailableError) as refused:
        await redis_jobs.store.progress(JOB)
    assert refused.value.status_code == 503
    with pytest.raises(JobsUnavailableError):
        await redis_jobs.queue.take()
