"""Kinds of jobs with numbers as items, for the worker and the runner of batches."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pydantic import TypeAdapter

from app.api.job_kinds import ItemResult, JobKind
from app.api.services import Services
from app.llm.embedding_batches import EmbeddingBatches
from app.testing import CapturedMetrics, FakeChatModel

Run = Callable[[Sequence[int]], Awaitable[Sequence[ItemResult]]]


def kinds(run: Run, **changes: Any) -> dict[str, JobKind[Any]]:
    async def call(items: Sequence[int], _: Services, __: str | None) -> Sequence[ItemResult]:
        return await run(items)

    adapter = TypeAdapter(int)
    return {"chat": JobKind(name="chat", item=adapter, schema=int, run=call, **changes)}


async def double(items: Sequence[int]) -> list[ItemResult]:
    return [{"value": 2 * item} for item in items]


def services() -> Services:
    model = FakeChatModel("hello")
    return Services(
        chat=model,
        embeddings=EmbeddingBatches(model, limit=1),
        metrics=CapturedMetrics(),
        checks={},
        providers={},
    )
