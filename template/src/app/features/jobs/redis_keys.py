"""The keys of jobs in Redis, and calls that have no answer to fall back on.

The keys of one job have a hash tag of their own, the queue and the lists of unfinished jobs another
one. So each script uses keys of one node of a cluster, and the results of jobs spread over the nodes.
"""

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any, TypeVar

import orjson

from app.backend import Shared
from app.features.jobs.store import JobSpec, JobsUnavailableError, Progress, State

T = TypeVar("T")


class JobKeys:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self.client = shared.client
        self.queue = shared.tagged("jobs", "queue")
        self.waiting = shared.tagged("jobs", "queue", "waiting")
        self.rounds = shared.tagged("jobs", "queue", "rounds")
        self.since = shared.tagged("jobs", "queue", "since")
        self.parts = shared.tagged("jobs", "parts")
        self.claims = shared.tagged("jobs", "claims")

    def of(self, job: str, part: str) -> str:
        return self._shared.key("job", f"{{{job}}}", part)

    def unfinished(self, owner: str) -> str:
        return self._shared.tagged("jobs", "unfinished", owner_tag(owner))

    async def progress(self, job: str) -> Progress | None:
        facts: Any = await self.read(lambda: self.client.hgetall(self.of(job, "facts")))
        return progress_of(facts)

    async def read(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer. Raises `JobsUnavailableError` if Redis gives none."""
        return _known(await self._shared.read(_boxed(ask), otherwise=None))

    async def write(self, ask: Callable[[], Awaitable[T]]) -> T:
        return _known(await self._shared.write(_boxed(ask), otherwise=None))


def part_name(job: str, start: int, stop: int) -> str:
    """The member of a sorted set: a part of a job with the mode `batch`."""
    return f"{job}:{start}:{stop}"


def owner_tag(owner: str) -> str:
    """The name of an owner, hashed: a tenant's id may have any length and any colons."""
    return sha256(owner.encode()).hexdigest()[:32]


def progress_of(facts: Mapping[bytes, bytes]) -> Progress | None:
    if b"spec" not in facts:
        return None
    spec = JobSpec(**orjson.loads(facts[b"spec"]))
    succeeded, failed = int(facts[b"succeeded"]), int(facts[b"failed"])
    state: State = "running" if b"started" in facts else "queued"
    if b"cancelled" in facts:
        state = "cancelled"
    elif succeeded + failed == spec.total:
        state = "completed"
    return Progress(spec, state, succeeded, failed)


def _boxed(ask: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[tuple[T] | None]]:
    """`None` is an answer of Redis too: a box tells it from no answer."""

    async def boxed() -> tuple[T] | None:
        return (await ask(),)

    return boxed


def _known(box: tuple[T] | None) -> T:
    if box is None:
        raise JobsUnavailableError
    return box[0]
