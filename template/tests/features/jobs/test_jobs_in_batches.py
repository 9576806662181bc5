"""Jobs with the mode `batch`: what is sent to the provider, and what becomes of its answers and errors."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.api.job_kinds import ItemResult
from app.api.services import Services
from app.errors import (
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    RequestRefusedError,
)
from app.features.jobs.worker import Worker
from app.testing import captured_logs
from tests.features.jobs.both_sides import Jobs, progress_of, results, spec
from tests.features.jobs.provider_side import (
    ANSWER_USD,
    AT_ONCE,
    KIND,
    Side,
    ask,
    queued,
)


async def test_items_go_in_one_batch_and_their_results_are_collected(side: Side) -> None:
    side.api.looks = 2
    await queued(side.jobs, "a", "b", "c", request_id="r1")
    assert await side.look() is not None
    assert side.api.questions == ["a", "b", "c"]
    assert (await progress_of(side.jobs)).state == "running"
    await side.until_over()
    progress = await progress_of(side.jobs)
    assert (progress.state, progress.succeeded) == ("completed", 3)
    assert await results(side.jobs) == {n: {"text": text} for n, text in enumerate("abc")}
    assert len(side.api.submitted) == 1
    assert side.direct.requests == []
    assert set(side.seen_ids) == {"r1"}
    assert (side.batches("sent"), side.batches("ended")) == (1, 1)
    assert side.metrics.value("job_items_total", outcome="succeeded") == 3
    assert side.metrics.value("llm_tokens_total", provider="fake", model="m", kind="prompt") == 30
    assert side.metrics.value("llm_cost_usd_total") == pytest.approx(3 * ANSWER_USD)


async def test_a_part_at_the_provider_is_no_work_of_the_queue_and_is_counted(side: Side) -> None:
    await queued(side.jobs, "a")
    assert await side.jobs.queue.take() is None
    depth = await side.jobs.queue.depth()
    assert (depth.batches, depth.at_provider) == (0, 1)
    await side.until_over()
    assert (await side.jobs.queue.depth()).at_provider == 0


async def test_a_part_is_not_claimed_before_its_time_nor_by_two_workers(jobs: Jobs) -> None:
    await queued(jobs, "a")
    part = await jobs.parts.claim()
    assert part is not None
    assert await jobs.parts.claim() is None
    assert await jobs.parts.hold(part)
    await jobs.parts.later(part, 3600)
    assert await jobs.parts.claim() is None


async def test_a_refused_batch_fails_its_items(side: Side) -> None:
    side.api.before = [RequestRefusedError("bad", provider="fake", status=400)]
    await queued(side.jobs, "a", "b")
    await side.until_over()
    assert (await progress_of(side.jobs)).failed == 2
    assert side.api.submitted == {}


async def test_a_limit_of_the_provider_delays_a_batch(side: Side) -> None:
    side.api.before = [RateLimitError("slow", provider="fake", status=429, retry_after_s=90)]
    await queued(side.jobs, "a")
    assert await side.look() == 90
    await side.until_over()
    assert (await progress_of(side.jobs)).succeeded == 1


async def test_a_batch_that_the_provider_does_not_accept_in_time_fails(side: Side) -> None:
    side.api.before = [ProviderUnavailableError("busy", status=503)]
    await queued(side.jobs, "a")
    await side.look()
    side.now += timedelta(seconds=side.policy.max_wait_s + 1)
    await side.until_over()
    assert "JOBS_MAX_WAIT_S" in (await results(side.jobs))[0]["detail"]
    assert side.api.submitted == {}


async def test_an_answer_that_is_lost_does_not_send_the_batch_again(side: Side) -> None:
    side.api.after = [ProviderTimeoutError("late", provider="fake")]
    await queued(side.jobs, "a")
    await side.until_over()
    assert side.api.questions == ["a"]
    assert (await progress_of(side.jobs)).succeeded == 1


@pytest.mark.parametrize("place", ["polls", "downloads"])
async def test_an_outage_of_the_provider_costs_no_result(side: Side, place: str) -> None:
    await queued(side.jobs, "a")
    await side.look()
    setattr(side.api, place, [ProviderUnavailableError("busy", status=503)] * 3)
    for _ in range(3):
        assert await side.look() is not None
    await side.until_over()
    assert (await progress_of(side.jobs)).succeeded == 1
    assert side.api.questions == ["a"]


async def test_a_batch_that_the_provider_has_lost_fails_and_is_not_sent_again(side: Side) -> None:
    await queued(side.jobs, "a")
    await side.look()
    side.api.submitted.clear()
    await side.until_over()
    assert (await results(side.jobs))[0]["status"] == 502
    assert side.api.submitted == {}
    assert side.batches("lost") == 1


async def test_a_batch_that_never_ends_is_cancelled_and_fails(side: Side) -> None:
    side.api.looks = 1000
    await queued(side.jobs, "a")
    await side.look()
    side.now += timedelta(hours=27)
    await side.until_over()
    assert "26 hours" in (await results(side.jobs))[0]["detail"]
    assert side.api.cancelled == ["batch_1"]


async def test_a_batch_of_a_provider_that_is_no_longer_the_first_fails(side: Side) -> None:
    side.api.looks = 1000
    await queued(side.jobs, "a")
    await side.look()
    side.api.name = "other"
    await side.until_over()
    assert "no longer the first" in (await results(side.jobs))[0]["detail"]


async def test_a_worker_looks_at_parts_beside_its_batches(side: Side) -> None:
    """The only place for batches is taken by a call that never ends."""
    hanging = asyncio.Event()

    async def hang(
        items: Sequence[str], services: Services, tenant: str | None
    ) -> Sequence[ItemResult]:
        if items == ["hang"]:
            hanging.set()
            await asyncio.Event().wait()
        return await ask(items, services, tenant)

    await side.jobs.store.add(spec(1, total=1), [[b'"hang"']])
    kinds = {"chat": replace(KIND, run=hang)}
    options: dict[str, Any] = {"parts": side.jobs.parts, "report_s": 0.01}
    worker = Worker(side.jobs.queue, side.services(), kinds, AT_ONCE, **options)
    with captured_logs() as logs:
        async with worker.running():
            await hanging.wait()
            await queued(side.jobs, "a")
            while not (await progress_of(side.jobs)).has_ended:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    assert (await progress_of(side.jobs)).succeeded == 1
    assert len(logs.events("job.completed")) == 1
