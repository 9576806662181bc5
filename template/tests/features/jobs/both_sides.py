"""Both sides of a store of jobs, and what most tests of jobs begin with."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_queue import RedisQueue
from app.features.jobs.store import JobSpec, JobStore, PartQueue, Progress, WorkQueue
from app.redis.client import SharedRedis
from app.testing import FakeClock

JOB = "job_" + "0" * 32


def spec(number: int = 0, *, total: int = 5, owner: str = "acme", **changes: Any) -> JobSpec:
    known = {"id": f"job_{number:032x}", "kind": "chat", "owner": owner, "total": total}
    return JobSpec(**{**known, "created_at": 1_700_000_000.0, **changes})


@dataclass
class Jobs:
    """Both sides of one store, and more workers on the same queue."""

    store: JobStore
    queue: WorkQueue
    parts: PartQueue
    shared: SharedRedis | None = None
    clock: FakeClock = field(default_factory=FakeClock)

    def another_worker(self, policy: JobsPolicy) -> RedisQueue:
        assert self.shared is not None
        return RedisQueue(self.shared, policy, clock=self.clock.monotonic)


async def progress_of(jobs: Jobs) -> Progress:
    found = await jobs.store.progress(JOB)
    assert found is not None
    return found


async def ended(jobs: Jobs) -> Progress:
    """Wait for the end of the job; the test's own timeout is the limit."""
    while True:
        progress = await progress_of(jobs)
        if progress.has_ended:
            return progress
        await asyncio.sleep(0.01)


async def results(jobs: Jobs) -> dict[int, Any]:
    found = [orjson.loads(each) for each in await jobs.store.results(JOB, 0, 1000)]
    return {each["index"]: each["result"] or each["error"] for each in found}
