"""What only the store in memory does: forget."""

import pytest

from app.features.jobs import memory
from app.features.jobs.memory import MemoryJobs
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.store import Outcome
from app.testing import FakeClock
from tests.features.jobs.both_sides import spec

RESULT = Outcome(0, is_success=True, encoded=b"0123456789")


async def test_a_job_expires_some_time_after_its_last_progress() -> None:
    clock = FakeClock()
    jobs = MemoryJobs(JobsPolicy(results_ttl_s=60), clock=clock.monotonic)
    await jobs.add(spec(total=1), [[b"0"]])
    clock.now += 50
    await jobs.store(spec().id, [RESULT])
    clock.now += 50
    assert await jobs.progress(spec().id) is not None
    clock.now += 11
    assert await jobs.progress(spec().id) is None


async def test_the_oldest_results_make_room_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MAX_RESULT_BYTES", 25)
    jobs = MemoryJobs(JobsPolicy())
    for number in range(3):
        await jobs.add(spec(number, total=1), [[b"0"]])
        await jobs.store(spec(number).id, [RESULT])
    assert await jobs.progress(spec(0).id) is None
    assert await jobs.progress(spec(1).id) is not None
    assert await jobs.progress(spec(2).id) is not None
