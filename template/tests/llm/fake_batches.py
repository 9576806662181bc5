"""A provider's batches in memory, and what a test lets go wrong with them."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from app.errors import LLMError, ModelNotFoundError
from app.llm.batch import (
    BatchEntry,
    BatchLimits,
    BatchResult,
    BatchStatus,
    Candidate,
    EncodedRequest,
    Outcome,
)
from app.llm.types import ChatRequest, LLMResponse, Message, Usage


def request(question: str, model: str = "m") -> ChatRequest:
    return ChatRequest((Message("user", question),), model=model)


def answer(text: str) -> LLMResponse:
    usage = Usage(prompt_tokens=10, completion_tokens=2, total_tokens=12)
    return LLMResponse(
        id=f"id of {text}", provider="x", model="m", content=text, finish_reason="stop", usage=usage
    )


class Crashed(BaseException):
    """The end of the process."""


@dataclass
class FakeBatchAPI:
    """Answers a question with itself. Batches end at the look number `looks`.

    certain       whether a batch can be found by its key
    before        raised instead of a submission, in their order; `None`: it succeeds
    after         the same, after the batch was created: its id is lost
    polls         raised by looks at a batch, in their order
    results_of    replaces the results of every batch
    """

    name: str = "fake"
    limits: BatchLimits = field(default_factory=lambda: BatchLimits(requests=100, bytes=100_000))
    certain: bool = True
    looks: int = 1
    before: list[BaseException | None] = field(default_factory=list)
    after: list[BaseException | None] = field(default_factory=list)
    polls: list[BaseException | None] = field(default_factory=list)
    downloads: list[BaseException | None] = field(default_factory=list)
    results_of: Sequence[BatchResult] | None = None
    failure: LLMError | None = None
    cancelled: list[str] = field(default_factory=list)
    submitted: dict[str, Sequence[BatchEntry]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    looked: dict[str, int] = field(default_factory=dict)

    @property
    def questions(self) -> list[str]:
        """All that was submitted, in order: a question that is there twice is paid for twice."""
        return [entry.body.decode() for entries in self.submitted.values() for entry in entries]

    def encode(self, asked: ChatRequest) -> EncodedRequest:
        return EncodedRequest(asked.messages[-1].text.encode(), asked.model or "m")

    async def submit(self, key: str, entries: Sequence[BatchEntry]) -> str:
        _raise_next(self.before)
        name = f"batch_{len(self.submitted) + 1}"
        self.submitted[name], self.keys[name] = entries, key
        _raise_next(self.after)
        return name

    async def find(self, key: str, requests: int, _since: datetime) -> Sequence[Candidate]:
        return [
            Candidate(name, self.certain)
            for name, entries in reversed(self.submitted.items())
            if (self.keys[name] == key if self.certain else len(entries) == requests)
        ]

    async def status(self, batch_id: str) -> BatchStatus:
        _raise_next(self.polls)
        if batch_id not in self.submitted:
            raise ModelNotFoundError("fake answered 404", provider="fake", status=404)
        self.looked[batch_id] = self.looked.get(batch_id, 0) + 1
        ended = self.looked[batch_id] >= self.looks or batch_id in self.cancelled
        return BatchStatus(batch_id, ended=ended, failure=self.failure)

    async def results(self, status: BatchStatus) -> AsyncGenerator[BatchResult, None]:
        entries = self.submitted[status.batch_id]
        given = [BatchResult(each.custom_id, _answer(each.body)) for each in reversed(entries)]
        for result in given if self.results_of is None else self.results_of:
            _raise_next(self.downloads)
            yield result

    async def cancel(self, batch_id: str) -> None:
        self.cancelled.append(batch_id)


def _answer(body: bytes) -> Outcome:
    return answer(body.decode())


def _raise_next(errors: list[BaseException | None]) -> None:
    if errors and (error := errors.pop(0)) is not None:
        raise error
