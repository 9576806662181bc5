"""Takes batches from the queue, runs them, and reports that it lives.

Each item's result is stored before its batch is acknowledged, and a batch that is delivered again
begins with the items that have none. So nothing is paid for twice, except calls that were in flight
when a worker was killed.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog

from app.api.services import Services
from app.clients.account import Accounts
from app.features.jobs.at_provider import AtProvider
from app.features.jobs.batch import BatchRunner, gone_detail
from app.features.jobs.batch_worker import BatchWorker
from app.features.jobs.kinds import Kinds
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.store import (
    Delivery,
    JobsUnavailableError,
    Outcome,
    PartQueue,
    Work,
    WorkQueue,
)
from app.features.jobs.work import OUTAGE_S, NotOursError, patiently, while_ours
from app.resilience.race import cancel_and_wait

_log = structlog.get_logger(__name__)

_REPORT_S = 1.0
_MEASURE_S = 5.0


class Worker:
    """Runs `policy.concurrency` batches at a time. Use it as `async with worker.running():`."""

    def __init__(
        self,
        queue: WorkQueue,
        services: Services,
        kinds: Kinds,
        policy: JobsPolicy,
        *,
        parts: PartQueue | None = None,
        accounts: Accounts | None = None,
        grace_s: float = 0.0,
        report_s: float = _REPORT_S,
    ) -> None:
        self._queue = queue
        self._metrics = services.metrics
        self._policy = policy
        self._grace_s = grace_s
        self._report_s = report_s
        self._stopping = asyncio.Event()
        self._runner = BatchRunner(services, accounts, kinds, policy, self._keep)
        self._parts = parts
        self._batches = services.batches

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work until the block ends; then finish the batches in progress, or put them back."""
        loops = [asyncio.create_task(self._work()) for _ in range(self._policy.concurrency)]
        loops += [asyncio.create_task(each.run()) for each in self._batch_workers()]
        measuring = asyncio.create_task(self._measure())
        try:
            yield
        finally:
            self._stopping.set()
            await asyncio.wait(loops, timeout=self._grace_s)
            await cancel_and_wait([*loops, measuring])

    def _batch_workers(self) -> list[BatchWorker]:
        """One, if the first provider has batches. Otherwise other workers look at them."""
        if self._parts is None or self._batches is None:
            return []
        steps = AtProvider(self._batches, self._parts, self._queue, self._runner)
        return [BatchWorker(self._parts, steps, self._stopping.is_set, self._report_s)]

    async def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                delivery = await self._queue.take()
            except JobsUnavailableError:
                await self._unless_stopped(asyncio.sleep(OUTAGE_S))
                continue
            if delivery is None:
                await self._unless_stopped(self._queue.wait())
            else:
                await self._process_safely(delivery)

    async def _process_safely(self, delivery: Delivery) -> None:
        """A batch that fails unexpectedly is delivered again, up to its number of deliveries."""
        try:
            await self._process(delivery)
        except Exception as error:  # noqa: BLE001 - one batch must not end the worker
            _log.error("job.batch_failed", job=delivery.job, exc_info=error)

    async def _process(self, delivery: Delivery) -> None:
        if delivery.number > 1:
            self._metrics.job_redelivered()
            _log.warning("job.redelivered", job=delivery.job, number=delivery.number)
        try:
            work = await patiently(lambda: self._queue.load(delivery))
            if work is not None and not await self._run(work, delivery):
                return
            await patiently(lambda: self._queue.done(delivery))
        except asyncio.CancelledError:  # the worker stops, and its grace period is over
            with suppress(JobsUnavailableError):  # then the batch is claimed when its lease ends
                await self._queue.put_back(delivery)
            raise

    async def _run(self, work: Work, delivery: Delivery) -> bool:
        """Run a batch. `False`: it belongs to another worker now, or its job was cancelled."""
        if delivery.number > self._policy.max_deliveries:
            _log.error("job.given_up", job=delivery.job, items=len(work.items))
            await self._runner.fail(work.spec, list(work.items), gone_detail(delivery.number))
            return True
        try:
            report = partial(self._queue.keep, delivery)
            await while_ours(self._runner.run(work), report, self._report_s)
        except NotOursError:
            return await self._is_cancelled(delivery)
        return True

    async def _is_cancelled(self, delivery: Delivery) -> bool:
        """A batch of a cancelled job is done. One that another worker has taken is left to it."""
        return await patiently(lambda: self._queue.load(delivery)) is None

    async def _keep(self, job: str, outcomes: Sequence[Outcome]) -> None:
        """Store results, also after an outage of Redis: they are paid for."""
        if await patiently(lambda: self._queue.store(job, outcomes)):
            _log.info("job.completed", job=job)

    async def _measure(self) -> None:
        while not self._stopping.is_set():  # a lost cancellation: see `while_ours`
            with suppress(JobsUnavailableError):
                depth = await self._queue.depth()
                self._metrics.jobs_queue(depth.batches, depth.oldest_s, depth.at_provider)
            await asyncio.sleep(_MEASURE_S)

    async def _unless_stopped(self, waiting: Coroutine[None, None, None]) -> None:
        tasks = [asyncio.create_task(waiting), asyncio.create_task(self._stopped())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_and_wait(tasks)

    async def _stopped(self) -> None:
        await self._stopping.wait()
