"""Looks at the parts of jobs that a provider has, one at a time, beside the batches of a worker.

A part waits in the queue between two looks, so it takes none of `JOBS_CONCURRENCY`.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from app.features.jobs.at_provider import AtProvider
from app.features.jobs.store import Delivery, JobsUnavailableError, PartQueue
from app.features.jobs.work import OUTAGE_S, NotOursError, patiently, while_ours

_log = structlog.get_logger(__name__)

IDLE_S = 1.0


@dataclass(frozen=True, slots=True)
class BatchWorker:
    """Run it in a task. It ends when `is_stopping`, or when its task is cancelled."""

    parts: PartQueue
    steps: AtProvider
    is_stopping: Callable[[], bool]
    report_s: float
    idle_s: float = IDLE_S

    async def run(self) -> None:
        while not self.is_stopping():
            try:
                part = await self.parts.claim()
            except JobsUnavailableError:
                await asyncio.sleep(OUTAGE_S)
                continue
            if part is None:
                await asyncio.sleep(self.idle_s)
            else:
                await self._process_safely(part)

    async def _process_safely(self, part: Delivery) -> None:
        """A part that fails unexpectedly is claimed again when its lease ends."""
        try:
            await self._process(part)
        except Exception as error:  # noqa: BLE001 - one part must not end the worker
            _log.error("job.batch_failed", job=part.job, exc_info=error)

    async def _process(self, part: Delivery) -> None:
        try:
            report = partial(self.parts.hold, part)
            pause_s = await while_ours(self.steps.advance(part), report, self.report_s)
            await patiently(lambda: self._put(part, pause_s))
        except NotOursError:
            return
        except asyncio.CancelledError:  # the worker stops
            with suppress(JobsUnavailableError):  # then it is claimed when its lease ends
                await self.parts.later(part, 0)
            raise

    async def _put(self, part: Delivery, pause_s: float | None) -> None:
        if pause_s is None:
            await self.parts.finish(part)
        else:
            await self.parts.later(part, pause_s)
