"""Providers' batches: many requests at once, answered within a day at a lower price. The protocol.

A provider's part is five calls without any policy. `app.llm.batches` decides what goes into which
batch, waits, matches the results with the requests, and continues after a restart.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from app.errors import LLMError
from app.llm.types import ChatRequest, LLMResponse

Outcome = LLMResponse | LLMError


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most that one batch may have. A larger one is split."""

    requests: int
    bytes: int
    one_model: bool = False


class EncodedRequest(NamedTuple):
    """A request as its provider takes it, and the model that is asked."""

    body: bytes
    model: str


class BatchEntry(NamedTuple):
    custom_id: str
    body: bytes


class Candidate(NamedTuple):
    """A batch that may be the one that was submitted. `certain`: it has our key."""

    batch_id: str
    certain: bool


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """`failure` is the reason why the provider refused the whole batch. `files` has its results."""

    batch_id: str
    ended: bool
    finished: int = 0
    total: int = 0
    failure: LLMError | None = None
    files: tuple[str, ...] = ()


class BatchResult(NamedTuple):
    """The outcome of one request. A line that cannot be read has no `custom_id`."""

    custom_id: str | None
    outcome: Outcome


class BatchAPI(Protocol):
    """A provider's batches. Each call raises an `LLMError` when it fails."""

    @property
    def name(self) -> str: ...

    @property
    def limits(self) -> BatchLimits: ...

    def encode(self, request: ChatRequest, /) -> EncodedRequest: ...

    async def submit(self, key: str, entries: Sequence[BatchEntry], /) -> str:
        """Create a batch, and return its id. The key finds it again."""
        ...

    async def find(self, key: str, requests: int, since: datetime, /) -> Sequence[Candidate]:
        """The batches that `submit` may have created since a time, when its answer was lost."""
        ...

    async def status(self, batch_id: str, /) -> BatchStatus: ...

    def results(self, status: BatchStatus, /) -> AsyncGenerator[BatchResult, None]:
        """The results of a batch that has ended, in any order."""
        ...

    async def cancel(self, batch_id: str, /) -> None: ...
