"""The worker: what it runs, what it repeats, and how it stops."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from app.api.job_kinds import ItemResult
from app.api.services import Services
from app.errors import (
    ProviderTimeoutError,
)
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.store import Outcome
from app.features.jobs.worker import Worker
from app.testing import CapturedMetrics, captured_logs
from tests.features.jobs.both_sides import JOB, Jobs, ended, results, spec
from tests.features.jobs.fake_kinds import Run, double, kinds, services
from tests.features.jobs.test_job_queue import NO_LEASE


@asynccontextmanager
async def working(
    jobs: Jobs, run: Run, policy: JobsPolicy | None = None, **changes: Any
) -> AsyncIterator[Services]:
    used = services()
    options = {"report_s": 0.01, **changes}
    worker = Worker(jobs.queue, used, kinds(run), policy or JobsPolicy(), **options)
    async with worker.running():
        yield used


async def test_every_item_of_a_job_gets_its_result(jobs: Jobs) -> None:
    await jobs.store.add(spec(), [[b"0", b"1", b"2"], [b"3", b"4"]])
    async with working(jobs, double) as used:
        progress = await ended(jobs)
    assert (progress.state, progress.succeeded) == ("completed", 5)
    assert await results(jobs) == {index: {"value": 2 * index} for index in range(5)}
    assert isinstance(used.metrics, CapturedMetrics)
    counted = used.metrics.value("job_items_total", kind="chat", outcome="succeeded")
    assert counted == 5


async def test_the_end_of_a_job_is_logged_under_the_request_id_of_its_request(jobs: Jobs) -> None:
    await jobs.store.add(spec(total=1, request_id="r1"), [[b"0"]])
    with captured_logs() as logs:
        async with working(jobs, double):
            await ended(jobs)
    (line,) = logs.events("job.completed")
    assert (line["job"], line["request_id"]) == (JOB, "r1")


async def test_a_failed_item_has_a_problem_and_the_others_their_results(jobs: Jobs) -> None:
    async def run(items: Sequence[int]) -> list[ItemResult]:
        if items == [1]:
            raise ProviderTimeoutError("The provider did not answer in time")
        return await double(items)

    await jobs.store.add(spec(total=3), [[b"0", b"1", b"2"]])
    async with working(jobs, run):
        progress = await ended(jobs)
    assert (progress.succeeded, progress.failed) == (2, 1)
    assert (await results(jobs))[1]["type"] == "urn:problem:timed-out"


async def test_an_unexpected_error_fails_its_item_and_not_the_worker(jobs: Jobs) -> None:
    async def run(items: Sequence[int]) -> list[ItemResult]:
        if items == [0]:
            raise ZeroDivisionError
        return await double(items)

    await jobs.store.add(spec(total=2), [[b"0"], [b"1"]])
    async with working(jobs, run):
        progress = await ended(jobs)
    assert (progress.succeeded, progress.failed) == (1, 1)
    assert (await results(jobs))[0]["status"] == 500


async def test_an_item_that_this_version_does_not_accept_fails(jobs: Jobs) -> None:
    await jobs.store.add(spec(total=2), [[b'"text"', b"1"]])
    async with working(jobs, double):
        await ended(jobs)
    found = await results(jobs)
    assert "does not accept" in found[0]["detail"]
    assert found[1] == {"value": 2}


async def test_items_of_an_unknown_kind_fail(jobs: Jobs) -> None:
    await jobs.store.add(spec(total=1, kind="translation"), [[b"0"]])
    async with working(jobs, double):
        await ended(jobs)
    assert "of this kind" in (await results(jobs))[0]["detail"]


async def test_a_batch_that_is_delivered_again_runs_only_its_unfinished_items(
    redis_jobs: Jobs,
) -> None:
    """The first worker was killed after two of four results: its batch was never acknowledged."""
    await redis_jobs.store.add(spec(total=4), [[b"0", b"1", b"2", b"3"]])
    await redis_jobs.queue.take()
    stored = [
        Outcome(index, is_success=True, encoded=orjson.dumps({"index": index, "result": {}}))
        for index in (0, 2)
    ]
    await redis_jobs.queue.store(JOB, stored)
    asked: list[int] = []

    async def run(items: Sequence[int]) -> list[ItemResult]:
        asked.extend(items)
        return await double(items)

    redis_jobs.queue = redis_jobs.another_worker(NO_LEASE)
    with captured_logs() as logs:
        async with working(redis_jobs, run) as used:
            progress = await ended(redis_jobs)
    assert sorted(asked) == [1, 3]
    assert progress.succeeded == 4
    assert logs.events("job.redelivered")[0]["number"] == 2
    assert isinstance(used.metrics, CapturedMetrics)
    assert used.metrics.value("job_redeliveries_total") == 1


async def test_after_too_many_deliveries_the_items_fail_and_are_not_run(redis_jobs: Jobs) -> None:
    await redis_jobs.store.add(spec(total=1), [[b"0"]])
    await redis_jobs.queue.take()
    redis_jobs.queue = redis_jobs.another_worker(NO_LEASE)
    asked: list[int] = []

    async def run(items: Sequence[int]) -> list[ItemResult]:
        asked.extend(items)
        return await double(items)

    async with working(redis_jobs, run, JobsPolicy(max_deliveries=1)):
        progress = await ended(redis_jobs)
    assert (asked, progress.failed) == ([], 1)
    assert "1 workers ended" in (await results(redis_jobs))[0]["detail"]


async def test_items_that_redis_has_lost_fail(redis_jobs: Jobs) -> None:
    await redis_jobs.store.add(spec(total=1), [[b"0"]])
    assert redis_jobs.shared is not None
    await redis_jobs.shared.client.delete(f"app:job:{{{JOB}}}:inputs")
    async with working(redis_jobs, double):
        await ended(redis_jobs)
    assert "no longer stored" in (await results(redis_jobs))[0]["detail"]


async def test_a_cancelled_job_ends_its_calls(jobs: Jobs) -> None:
    started, stopped = asyncio.Event(), asyncio.Event()

    async def run(_: Sequence[int]) -> list[ItemResult]:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return []

    await jobs.store.add(spec(total=2), [[b"0"], [b"1"]])
    async with working(jobs, run):
        await started.wait()
        await jobs.store.cancel(JOB)
        await stopped.wait()
        while (await jobs.queue.depth()).batches:  # noqa: ASYNC110 - a queue has no event for it
            await asyncio.sleep(0.01)
    progress = await ended(jobs)
    assert (progress.state, progress.succeeded) == ("cancelled", 0)


async def test_a_worker_that_stops_finishes_its_batch_within_the_grace_period(jobs: Jobs) -> None:
    started, may_end = asyncio.Event(), asyncio.Event()

    async def run(items: Sequence[int]) -> list[ItemResult]:
        started.set()
        await may_end.wait()
        return await double(items)

    await jobs.store.add(spec(total=2), [[b"0"], [b"1"]])
    async with working(jobs, run, grace_s=20):
        await started.wait()
        asyncio.get_running_loop().call_later(0.05, may_end.set)
    assert await results(jobs) == {0: {"value": 0}}
    assert (await jobs.queue.depth()).batches == 1


async def test_after_the_grace_period_the_batch_goes_to_another_worker(jobs: Jobs) -> None:
    started = asyncio.Event()

    async def hang(_: Sequence[int]) -> list[ItemResult]:
        started.set()
        await asyncio.Event().wait()
        return []

    await jobs.store.add(spec(total=1), [[b"0"]])
    async with working(jobs, hang, grace_s=0.01):
        await started.wait()
    async with working(jobs, double):
        progress = await ended(jobs)
    assert progress.succeeded == 1


async def test_a_small_job_ends_while_a_large_one_of_another_client_runs(jobs: Jobs) -> None:
    """Bounded: at most one batch of the large job before each of the small one, and one that runs."""
    large, small = spec(1, total=300, owner="large"), spec(2, total=4, owner="small")
    await jobs.store.add(large, [[b"1"]] * 300)
    order: list[int] = []
    started = asyncio.Event()

    async def run(items: Sequence[int]) -> list[ItemResult]:
        order.extend(items)
        started.set()
        await asyncio.sleep(0)
        return await double(items)

    async with working(jobs, run):
        await started.wait()
        before = len(order)
        await jobs.store.add(small, [[b"2"]] * 4)
        while order.count(2) < 4:  # noqa: ASYNC110 - a job has no event for it
            await asyncio.sleep(0.001)
    last_of_small = len(order) - 1 - order[::-1].index(2)
    accepted = order.index(2) - before  # batches of the large job while the small one was stored
    assert last_of_small - before - accepted <= 2 * 4
    assert order.count(1) < 300
