"""A cancelled job cancels the provider's batches."""

from app.errors import (
    ProviderUnavailableError,
)
from tests.features.jobs.both_sides import JOB, progress_of
from tests.features.jobs.provider_side import Side, queued
from tests.llm.fake_batches import Crashed


async def test_a_cancelled_job_cancels_its_batch(side: Side) -> None:
    side.api.looks = 100
    await queued(side.jobs, "a", "b")
    await side.look()
    await side.jobs.store.cancel(JOB)
    await side.until_over()
    assert side.api.cancelled == ["batch_1"]
    assert side.batches("cancelled") == 1
    assert (await progress_of(side.jobs)).state == "cancelled"
    assert (await side.jobs.queue.depth()).at_provider == 0


async def test_a_job_that_is_cancelled_before_it_is_sent_costs_nothing(side: Side) -> None:
    await queued(side.jobs, "a")
    await side.jobs.store.cancel(JOB)
    await side.until_over()
    assert side.api.submitted == {}


async def test_a_batch_with_a_lost_id_is_cancelled_too(redis_side: Side) -> None:
    side = redis_side
    side.api.looks, side.api.after = 100, [Crashed()]
    await queued(side.jobs, "a")
    await side.killed()
    await side.jobs.store.cancel(JOB)
    await side.until_over()
    assert side.api.cancelled == ["batch_1"]


async def test_a_cancellation_that_fails_is_tried_again(side: Side) -> None:
    side.api.looks = 100
    await queued(side.jobs, "a")
    await side.look()
    await side.jobs.store.cancel(JOB)
    side.api.polls = [ProviderUnavailableError("busy", status=503)]
    assert await side.look() is not None
    await side.until_over()
    assert side.api.cancelled == ["batch_1"]
