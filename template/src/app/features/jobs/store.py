"""Jobs, their results, and the queue of their batches: the protocols and what they exchange.

`memory` keeps them in this process, `redis_store` and `redis_queue` in the Redis of all processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from fastapi import HTTPException

from app.llm.batch_store import Submission

State = Literal["queued", "running", "completed", "cancelled"]
RunsIn = Literal["workers", "process"]
Mode = Literal["direct", "batch"]


class TooManyJobsError(HTTPException):
    """The owner has as many unfinished jobs as allowed. An endpoint answers with it as it is."""

    def __init__(self, limit: int) -> None:
        detail = f"{limit} jobs have not ended, the maximum. Cancel one, or wait for its end."
        super().__init__(429, detail, {"Retry-After": "60"})


class JobsUnavailableError(HTTPException):
    """Redis cannot be used now. An endpoint answers with it as it is."""

    def __init__(self) -> None:
        super().__init__(503, "Jobs are not available for now.", {"Retry-After": "5"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a job is, and the client that it runs for. The ids connect its log lines with its request."""

    id: str
    kind: str
    owner: str  # the client, or without client keys the tenant; empty if there is neither
    total: int
    created_at: float
    mode: Mode = "direct"
    client: str | None = None
    tenant: str | None = None
    request_id: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. Neither count ever decreases."""

    spec: JobSpec
    state: State
    succeeded: int = 0
    failed: int = 0

    @property
    def has_ended(self) -> bool:
        return self.state in {"completed", "cancelled"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """A batch that a worker has taken: items `start` to `stop - 1`. `number` counts its workers.

    `owner` names the client of the job: clients take turns.
    """

    id: str
    job: str
    start: int
    stop: int
    number: int = 1
    owner: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """The items of a batch that have no result yet, by their index; `None`: Redis has lost it."""

    spec: JobSpec
    items: dict[int, bytes | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one item: the JSON object that a page of results contains."""

    index: int
    is_success: bool
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Depth:
    """The batches that wait or are in progress, and the age of the oldest.

    `at_provider` are the parts of jobs with the mode `batch` that have not ended. They are not among
    the batches: a provider may take a day.
    """

    batches: int
    oldest_s: float
    at_provider: int = 0


class JobStore(Protocol):
    """The side of the API. Methods raise `JobsUnavailableError`."""

    @property
    def runs_in(self) -> RunsIn: ...

    async def add(self, spec: JobSpec, batches: Sequence[Sequence[bytes]]) -> None:
        """Store a job and queue its batches. Raises `TooManyJobsError`."""
        ...

    async def progress(self, job: str) -> Progress | None: ...

    async def results(self, job: str, after: int, limit: int) -> list[bytes]:
        """Results in the order in which they were stored, so that no page ever changes."""
        ...

    async def cancel(self, job: str) -> None: ...


class WorkQueue(Protocol):
    """The side of a worker. Methods raise `JobsUnavailableError`."""

    async def take(self) -> Delivery | None:
        """The next batch. Owners take turns; the batches of one owner are in the order of arrival."""
        ...

    async def wait(self) -> None:
        """Wait until it is worth another try to take a batch."""
        ...

    async def load(self, delivery: Delivery) -> Work | None:
        """The items without a result; `None` if the job has ended or expired."""
        ...

    async def keep(self, delivery: Delivery) -> bool:
        """Report that the worker lives. `False`: the batch is no longer its own, or cancelled."""
        ...

    async def store(self, job: str, outcomes: Sequence[Outcome]) -> bool:
        """Store results, each once. `True` if the job is complete."""
        ...

    async def done(self, delivery: Delivery) -> None: ...

    async def put_back(self, delivery: Delivery) -> None: ...

    async def depth(self) -> Depth: ...


class PartQueue(Protocol):
    """The parts of jobs with the mode `batch`, each with the time of its next look.

    A part is delivered to one worker at a time. A worker that does not report for the lease loses it.
    Methods raise `JobsUnavailableError`.
    """

    async def claim(self) -> Delivery | None:
        """Take a part that is due, or return `None`. Its `number` is 1, and 1 more for each worker that died with it."""
        ...

    async def hold(self, part: Delivery) -> bool:
        """Report that the worker lives. `False`: the part belongs to another worker now."""
        ...

    async def later(self, part: Delivery, delay_s: float) -> None: ...

    async def finish(self, part: Delivery) -> None: ...

    async def sent(self, part: Delivery) -> list[Submission]:
        """The batches of this part at providers, including one that was perhaps not sent before a worker died."""
        ...

    async def save(self, part: Delivery, submission: Submission) -> None:
        """Remember a batch. It is safe when this returns. The job expires later from now on."""
        ...
