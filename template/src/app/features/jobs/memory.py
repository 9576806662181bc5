"""Jobs in the memory of this process. They end with it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf

from app.features.jobs.policy import JobsPolicy
from app.features.jobs.store import (
    Delivery,
    Depth,
    JobSpec,
    Outcome,
    Progress,
    RunsIn,
    State,
    TooManyJobsError,
    Work,
)
from app.llm.batch_store import Submission
from app.resilience.fair_queue import FairQueue


class MemoryParts:
    """A `PartQueue`. The process that claims a part is the only one, so a claim needs no lease."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due: dict[Delivery, float] = {}
        self._sent: dict[str, dict[str, Submission]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def add(self, part: Delivery) -> None:
        self._due[part] = 0.0

    async def claim(self) -> Delivery | None:
        now = self._clock()
        part = min(self._due, key=self._due.__getitem__, default=None)
        if part is None or self._due[part] > now:
            return None
        self._due[part] = inf
        return part

    async def hold(self, part: Delivery) -> bool:
        return part in self._due

    async def later(self, part: Delivery, delay_s: float) -> None:
        self._due[part] = self._clock() + delay_s

    async def finish(self, part: Delivery) -> None:
        del self._due[part]
        self._sent.pop(part.id, None)

    async def sent(self, part: Delivery) -> list[Submission]:
        return [*self._sent.get(part.id, {}).values()]

    async def save(self, part: Delivery, submission: Submission) -> None:
        self._sent.setdefault(part.id, {})[submission.key] = submission


# Results of ended jobs above it are removed before their time, the oldest first.
_MAX_RESULT_BYTES = 128 * 1024 * 1024


@dataclass(slots=True)
class _Job:
    spec: JobSpec
    batches: dict[int, Sequence[bytes]]
    expires_at: float
    state: State = "queued"
    succeeded: int = 0
    results: list[bytes] = field(default_factory=list)
    finished: set[int] = field(default_factory=set)

    @property
    def size(self) -> int:
        return sum(map(len, self.results))

    @property
    def progress(self) -> Progress:
        failed = len(self.results) - self.succeeded
        return Progress(self.spec, self.state, self.succeeded, failed)


class MemoryJobs:
    """A `JobStore` and its `WorkQueue`."""

    runs_in: RunsIn = "process"

    def __init__(self, policy: JobsPolicy, *, clock: Callable[[], float] = time.time) -> None:
        self._policy = policy
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._queue: FairQueue[Delivery] = FairQueue()
        self._since: dict[str, float] = {}
        self._has_work = asyncio.Event()
        self.parts = MemoryParts(clock)

    async def add(self, spec: JobSpec, batches: Sequence[Sequence[bytes]]) -> None:
        self._expire()
        unfinished = [
            job
            for job in self._jobs.values()
            if job.spec.owner == spec.owner and not job.progress.has_ended
        ]
        if len(unfinished) >= self._policy.max_per_client:
            raise TooManyJobsError(self._policy.max_per_client)
        by_start: dict[int, Sequence[bytes]] = {}
        for items in batches:
            start = sum(map(len, by_start.values()))
            by_start[start] = items
            name, stop = f"{spec.id}/{start}", start + len(items)
            delivery = Delivery(name, spec.id, start, stop, owner=spec.owner)
            self._enqueue(spec, delivery)
        self._jobs[spec.id] = _Job(spec, by_start, self._clock() + self._policy.results_ttl_s)

    def _enqueue(self, spec: JobSpec, delivery: Delivery) -> None:
        if spec.mode == "batch":
            self.parts.add(delivery)
        else:
            self._since[delivery.id] = self._clock()
            self._push(delivery)

    def _push(self, delivery: Delivery) -> None:
        self._queue.push(delivery.owner, delivery)
        self._has_work.set()

    async def progress(self, job: str) -> Progress | None:
        self._expire()
        found = self._jobs.get(job)
        return None if found is None else found.progress

    async def results(self, job: str, after: int, limit: int) -> list[bytes]:
        found = self._jobs.get(job)
        return [] if found is None else found.results[after : after + limit]

    async def cancel(self, job: str) -> None:
        found = self._jobs.get(job)
        if found is not None and not found.progress.has_ended:
            found.state = "cancelled"
            found.batches.clear()

    async def take(self) -> Delivery | None:
        if (found := self._queue.pop()) is None:
            self._has_work.clear()
            return None
        _, delivery = found
        return delivery

    async def wait(self) -> None:
        """Without a job the process of the API does nothing."""
        await self._has_work.wait()

    async def load(self, delivery: Delivery) -> Work | None:
        job = self._jobs.get(delivery.job)
        if job is None or job.progress.has_ended:
            return None
        job.state = "running"
        items = enumerate(job.batches[delivery.start], delivery.start)
        return Work(job.spec, {index: raw for index, raw in items if index not in job.finished})

    async def keep(self, delivery: Delivery) -> bool:
        job = self._jobs.get(delivery.job)
        return job is not None and job.state != "cancelled"

    async def store(self, job: str, outcomes: Sequence[Outcome]) -> bool:
        found = self._jobs.get(job)
        if found is None or found.state == "cancelled":
            return False
        for outcome in outcomes:
            if outcome.index not in found.finished:
                found.finished.add(outcome.index)
                found.results.append(outcome.encoded)
                found.succeeded += outcome.is_success
        found.expires_at = self._clock() + self._policy.results_ttl_s
        if len(found.results) == found.spec.total:
            found.state = "completed"
            found.batches.clear()
        return found.state == "completed"

    async def done(self, delivery: Delivery) -> None:
        self._since.pop(delivery.id, None)

    async def put_back(self, delivery: Delivery) -> None:
        self._push(delivery)

    async def depth(self) -> Depth:
        oldest_s = self._clock() - min(self._since.values(), default=self._clock())
        return Depth(len(self._since), oldest_s, len(self.parts))

    def _expire(self) -> None:
        now = self._clock()
        self._jobs = {name: job for name, job in self._jobs.items() if job.expires_at > now}
        ended = [name for name, job in self._jobs.items() if job.progress.has_ended]
        size = sum(self._jobs[name].size for name in ended)
        for name in ended:
            if size > _MAX_RESULT_BYTES:
                size -= self._jobs.pop(name).size
