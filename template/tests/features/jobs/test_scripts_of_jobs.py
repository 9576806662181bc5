"""Each script of jobs on the Redis of `REDIS_TEST_URL`: one server, or a cluster, with keys of many slots."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from secrets import token_hex

import pytest

from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_parts import RedisParts
from app.features.jobs.redis_queue import RedisQueue
from app.features.jobs.redis_store import RedisJobs
from app.features.jobs.store import Outcome
from app.llm.batch_store import Sent, Submission
from app.redis.client import SharedRedis, open_redis
from tests.features.jobs.both_sides import spec

JOBS = range(12)  # so many that each of three nodes has the keys of some of them

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("REDIS_TEST_URL" not in os.environ, reason="no REDIS_TEST_URL"),
]


@pytest.fixture
async def shared() -> AsyncIterator[SharedRedis]:
    async with open_redis(os.environ["REDIS_TEST_URL"], token_hex(8)) as redis:
        yield redis


async def test_a_job_is_queued_taken_put_back_stored_and_done(shared: SharedRedis) -> None:
    store, queue = RedisJobs(shared, JobsPolicy()), RedisQueue(shared, JobsPolicy())
    for number in JOBS:
        job = spec(number, total=1, owner=f"client {number}")
        await store.add(job, [[b"0"]])
        taken = await queue.take()
        assert taken is not None
        await queue.put_back(taken)
        taken = await queue.take()
        assert taken is not None
        work = await queue.load(taken)
        assert work is not None
        assert (work.spec, work.items) == (job, {0: b"0"})
        assert await queue.keep(taken)
        assert await queue.store(job.id, [Outcome(0, is_success=True, encoded=b"{}")])
        await queue.done(taken)
        assert (await queue.depth()).batches == 0


async def test_a_part_is_claimed_held_saved_delayed_cancelled_and_finished(
    shared: SharedRedis,
) -> None:
    policy = JobsPolicy()
    store, parts = RedisJobs(shared, policy), RedisParts(shared, policy)
    for number in JOBS:
        job = spec(number, total=1, mode="batch")
        await store.add(job, [[b"0"]])
        part = await parts.claim()
        assert part is not None
        assert await parts.hold(part)
        now = datetime(2026, 11, 1, tzinfo=UTC)
        sent = Submission(key="k", provider="p", created_at=now, sent=(Sent("0", "d"),))
        await parts.save(part, sent)
        assert await parts.sent(part) == [sent]
        await parts.later(part, 0)
        assert await parts.claim() == part
        await store.cancel(job.id)
        await parts.finish(part)
        assert (await RedisQueue(shared, policy).depth()).at_provider == 0
