"""The two stores of jobs: the memory of a process, and a Redis (a fake one)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing

import fakeredis
import pytest

from app.features.jobs.memory import MemoryJobs
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_parts import RedisParts
from app.features.jobs.redis_queue import RedisQueue
from app.features.jobs.redis_store import RedisJobs
from app.redis.client import SharedRedis
from app.testing import FakeClock
from tests.features.jobs.both_sides import Jobs
from tests.features.jobs.provider_side import AT_ONCE, Side


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


@pytest.fixture
def side(jobs: Jobs) -> Side:
    return Side(jobs)


@pytest.fixture
def redis_side(redis_jobs: Jobs) -> Side:
    redis_jobs.parts = RedisParts(redis_jobs.shared, AT_ONCE)  # type: ignore[arg-type]
    return Side(redis_jobs)
