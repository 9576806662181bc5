"""The two stores of jobs: the memory of a process, and a Redis (a fake one)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

import fakeredis
import pytest

from app.features.jobs.memory import MemoryJobs
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_parts import RedisParts
from app.features.jobs.redis_queue import RedisQueue
from app.features.jobs.redis_store import RedisJobs
from app.features.jobs.store import JobSpec, JobStore, PartQueue, WorkQueue
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


@pytest.fixture
def policy() -> JobsPolicy:
    return JobsPolicy(max_per_client=2)


@pytest.fixture(autouse=True)
def _patient_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no outage."""
    monkeypatch.setattr("app.redis.client.TIMEOUT_S", 10.0)


@pytest.fixture
async def redis_jobs(policy: JobsPolicy) -> AsyncIterator[Jobs]:
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(fakeredis.FakeAsyncRedis())
        shared = await opened.enter_async_context(aclosing(SharedRedis(client)))
        clock = FakeClock()
        queue = RedisQueue(shared, policy, clock=clock.monotonic)
        parts = RedisParts(shared, policy)
        yield Jobs(RedisJobs(shared, policy), queue, parts, shared, clock)


@pytest.fixture(params=["memory", "redis"])
def jobs(request: pytest.FixtureRequest, policy: JobsPolicy) -> Jobs:
    if request.param == "redis":
        opened: Jobs = request.getfixturevalue("redis_jobs")
        return opened
    memory = MemoryJobs(policy)
    return Jobs(memory, memory, memory.parts)
