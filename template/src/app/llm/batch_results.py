"""Matches the results of a batch with its requests. Nothing in them is trusted."""

from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog

from app.errors import LLMError, MalformedAnswerError
from app.llm.batch import BatchAPI, BatchStatus, Outcome
from app.llm.batch_store import Submission
from app.llm.costs import BATCH_TIER, PriceList
from app.llm.types import LLMResponse

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Flaws:
    """How many results were not usable. `missing` are the requests without a result."""

    unknown: int = 0
    duplicate: int = 0
    malformed: int = 0
    missing: int = 0

    @property
    def any(self) -> bool:
        return bool(self.unknown or self.duplicate or self.malformed or self.missing)


@dataclass(slots=True)
class Results:
    """The outcomes by the position of the request."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    flaws: Flaws = field(default_factory=Flaws)

    @property
    def unpaid(self) -> list[int]:
        """The requests that the provider did not answer. A malformed answer is one, and has a price."""
        return [
            position
            for position, outcome in self.outcomes.items()
            if isinstance(outcome, LLMError) and not isinstance(outcome, MalformedAnswerError)
        ]


async def read_results(api: BatchAPI, status: BatchStatus, submission: Submission) -> Results:
    """One outcome for each request of the batch.

    Of two results for one request the first counts. A request without a result may have been answered
    and paid for, so its error is that of a malformed answer, which is not asked again by itself. If the
    batch as a whole has failed, each outcome is its error.
    """
    if status.failure is not None:
        return Results(dict.fromkeys(range(len(submission.sent)), status.failure))
    results = Results()
    async with aclosing(api.results(status)) as lines:
        async for custom_id, outcome in lines:
            _take(results, submission.position(custom_id), custom_id, outcome)
    for position in range(len(submission.sent)):
        if position not in results.outcomes:
            results.flaws.missing += 1
            message = f"{api.name} sent no result for this request of batch {status.batch_id}"
            results.outcomes[position] = MalformedAnswerError(message, provider=api.name)
    return results


def _take(results: Results, position: int | None, custom_id: str | None, outcome: Outcome) -> None:
    if custom_id is None:
        results.flaws.malformed += 1
    elif position is None:
        results.flaws.unknown += 1
    elif position in results.outcomes:
        results.flaws.duplicate += 1
    else:
        results.outcomes[position] = outcome


def priced(
    response: Outcome, *, provider: str, vendor: str, model: str, prices: PriceList
) -> Outcome:
    """The response with the provider's name and the cost at the price of batches. An error stays as it is."""
    if isinstance(response, LLMError):
        return response
    model = response.model or model
    usage = response.usage.model_copy(update={"service_tier": BATCH_TIER})
    cost_usd = prices.cost_usd(vendor, model, usage)
    return response.model_copy(
        update={"provider": provider, "model": model, "usage": usage, "cost_usd": cost_usd}
    )


def log_end(name: str, status: BatchStatus, flaws: Flaws, outcomes: Iterable[Outcome]) -> None:
    """Log how many requests a batch has answered, and how many of the answers could not be used."""
    found = [*outcomes]
    answers = [each for each in found if isinstance(each, LLMResponse)]
    _log.info(
        "llm.batch",
        provider=name,
        batch_id=status.batch_id,
        requests=len(found),
        answered=len(answers),
        cost_usd=sum(answer.cost_usd for answer in answers if answer.cost_usd is not None),
    )
    if flaws.any:
        _log.warning(
            "llm.batch_flaws",
            provider=name,
            batch_id=status.batch_id,
            unknown=flaws.unknown,
            duplicate=flaws.duplicate,
            malformed=flaws.malformed,
            missing=flaws.missing,
        )
