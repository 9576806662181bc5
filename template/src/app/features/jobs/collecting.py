"""The items of a provider's batch: the request of each, and the result of each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from app.api.job_kinds import ItemResult, JobKind
from app.api.problems import Problem, describe
from app.clients.account import ANONYMOUS
from app.clients.ledger import Use
from app.errors import LLMError
from app.features.jobs.batch import BatchRunner, ItemFailedError, outcome_of
from app.features.jobs.store import JobSpec, Outcome, Work
from app.llm import batch
from app.llm.batch import BatchStatus, EncodedRequest
from app.llm.batch_results import log_end, read_results
from app.llm.batch_store import Submission
from app.llm.model import ChatModel
from app.llm.provider_batches import Answered, ProviderBatches
from app.llm.types import LLMResponse
from app.resilience.concurrency import gather_bounded

# Stored, and charged, together.
_AT_ONCE = 16
_NANO = 1_000_000_000

Answers = Mapping[int, batch.Outcome]
T = TypeVar("T")


async def encoded_or_error(
    batches: ProviderBatches, runner: BatchRunner, kind: JobKind[Any], spec: JobSpec, item: object
) -> EncodedRequest | LLMError | Problem:
    """The request that the item begins with."""

    async def ask(model: ChatModel) -> object:
        return await kind.run([item], replace(runner.services, chat=model), spec.tenant)

    try:
        return await batches.encoded(ask)
    except LLMError as error:
        return error
    except Exception as error:  # noqa: BLE001 - an item must not end the worker
        return describe(error)


async def collect(
    batches: ProviderBatches,
    runner: BatchRunner,
    work: Work,
    submission: Submission,
    status: BatchStatus,
) -> None:
    """Store the results of the items that have none yet, and charge their client for them."""
    results = await read_results(batches.api, status, submission)
    answers: dict[int, batch.Outcome] = {
        int(sent.id): batches.priced(results.outcomes[position])
        for position, sent in enumerate(submission.sent)
        if int(sent.id) in work.items
    }
    log_end(batches.api.name, status, results.flaws, answers.values())
    for some in _some_at_once(answers.items()):
        await _store(batches, runner, work, dict(some))


async def _store(
    batches: ProviderBatches, runner: BatchRunner, work: Work, answers: Answers
) -> None:
    kind = runner.kinds.get(work.spec.kind)
    known = {index: work.items[index] or b"" for index in answers}
    if kind is None:
        await runner.fail(work.spec, list(known), "The service no longer has jobs of this kind.")
    else:
        items = await runner.parsed(kind, work.spec, known)

        async def finish(index: int) -> Outcome:
            return outcome_of(
                index, await _result(runner, kind, work.spec, items[index], answers[index])
            )

        limit = kind.calls_per_batch
        found = await gather_bounded(items, finish, limit=limit, catch=ItemFailedError)
        await runner.store(work.spec, [each for each in found if isinstance(each, Outcome)])
    await _charge(batches, runner, work.spec, [*answers.values()])


async def _result(
    runner: BatchRunner, kind: JobKind[Any], spec: JobSpec, item: object, answer: batch.Outcome
) -> ItemResult | Problem:
    """What the kind makes of the answer. Another call that it makes is one without a batch."""
    model = Answered(answer, runner.services.chat, lambda: runner.account(spec))
    try:
        (result,) = await kind.run([item], replace(runner.services, chat=model), spec.tenant)
    except LLMError as error:
        return error
    except Exception as error:  # noqa: BLE001 - an item must not end the worker
        return describe(error)
    return result


async def _charge(
    batches: ProviderBatches,
    runner: BatchRunner,
    spec: JobSpec,
    outcomes: Sequence[batch.Outcome],
) -> None:
    """Charge the dollars to the budget. The limit of tokens a minute is for calls without a batch."""
    answers = [each for each in outcomes if isinstance(each, LLMResponse)]
    nanousd = sum(round((each.cost_usd or 0.0) * _NANO) for each in answers)
    metrics = runner.services.metrics
    for answer in answers:
        model, cost_usd = batches.label(answer.model), answer.cost_usd or 0.0
        metrics.llm_costs(batches.api.name, model, answer.usage.by_kind, cost_usd)
    if runner.accounts is not None and answers:
        client = spec.client or ANONYMOUS
        await runner.accounts.charge(client, Use(0, nanousd))
        tokens = sum(answer.usage.total_tokens for answer in answers)
        metrics.client_used(client, tokens, nanousd)


def _some_at_once(pairs: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(pairs)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
