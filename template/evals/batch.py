"""Cases asked in batches: all at once, at a provider's half price."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from app.batching import open_batches
from app.llm.batch_polling import BatchPolicy
from app.llm.batch_store import FileBatchStore
from app.llm.batched import BatchedModel, open_batched, work
from app.llm.http import Transport
from app.settings import Settings
from evals.answers import Answer
from evals.cases import Case

SUFFIX = ".batches"

AnswerCase = Callable[[Case, int], Awaitable[Answer]]

# The mock in this process ends a batch at once.
_OF_MOCK = BatchPolicy(first_pause_s=0.02, max_pause_s=0.5, deadline_s=600.0)


@asynccontextmanager
async def open_batched_model(
    settings: Settings, run: Path, transport: Transport | None
) -> AsyncIterator[BatchedModel]:
    """The model of a run. Its batches are saved beside the run, and a later process continues them."""
    store = FileBatchStore(run.with_suffix(SUFFIX))
    policy = None if transport is None else _OF_MOCK
    async with (
        open_batches(settings, store, policy=policy, transport=transport) as batches,
        open_batched(batches) as model,
    ):
        yield model


async def cancel_batches(settings: Settings, run: Path) -> int:
    """Cancel the batches of a run that the provider still works on; return how many these were."""
    async with open_batches(settings, FileBatchStore(run.with_suffix(SUFFIX))) as batches:
        return await batches.cancel()


def together(model: BatchedModel, answer: AnswerCase, trials: int) -> AnswerCase:
    """Ask so many trials at the same time. Each is known to the model by its case and number."""
    model.expect(trials)

    async def ask(case: Case, trial: int) -> Answer:
        work.set(f"{case.id}#{trial}")
        try:
            return await answer(case, trial)
        finally:
            model.left()

    return ask
