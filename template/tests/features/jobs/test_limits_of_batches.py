"""Budgets, limits and ceilings hold for jobs with the mode `batch`."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import orjson
import pytest

from app.api.job_kinds import ItemResult
from app.api.services import Services
from app.clients.ledger import LocalLedger
from app.errors import (
    LLMError,
)
from app.llm.spending import Ceilings
from app.llm.types import ChatRequest, Message
from tests.features.jobs.both_sides import results, spec
from tests.features.jobs.provider_side import (
    ANSWER_USD,
    KIND,
    Side,
    accounts,
    queued,
)


async def test_a_batch_is_charged_at_its_price_and_a_spent_budget_sends_no_more(
    side: Side,
) -> None:
    side.accounts = accounts(LocalLedger(), budget_usd_per_day=ANSWER_USD)
    await queued(side.jobs, "a", client="acme")
    await side.until_over()
    assert side.metrics.value("client_cost_usd_total", client="acme") == pytest.approx(ANSWER_USD)
    assert side.metrics.value("client_tokens_total", client="acme") == 12
    await side.jobs.store.add(spec(1, total=1, mode="batch", client="acme"), [[b'"b"']])
    await side.until_over()
    (stored,) = await side.jobs.store.results(spec(1).id, 0, 10)
    assert orjson.loads(stored)["error"]["type"] == "urn:problem:budget-spent"
    assert side.api.questions == ["a"]


async def test_the_tokens_of_a_batch_do_not_use_up_the_minute(side: Side) -> None:
    ledger = LocalLedger()
    side.accounts = accounts(ledger, tokens_per_minute=5, budget_usd_per_day=100)
    await queued(side.jobs, "a", client="acme")
    await side.until_over()
    await side.accounts.open("acme", 0)


async def test_an_answer_that_is_not_valid_is_corrected_by_a_call_of_the_client(
    side: Side,
) -> None:
    side.accounts = accounts(LocalLedger(), requests_per_minute=2)
    await queued(side.jobs, "invalid", "b", client="acme")
    await side.until_over()
    assert await results(side.jobs) == {0: {"text": "direct answer"}, 1: {"text": "b"}}
    assert [each.messages[-1].text for each in side.direct.requests] == ["Again: invalid"]
    with pytest.raises(LLMError):  # one request sent the batch, and one the correction
        await side.accounts.open("acme", 0)


async def with_model(
    items: Sequence[str], services: Services, _tenant: str | None
) -> Sequence[ItemResult]:
    asked = [ChatRequest((Message("user", item),), model=item) for item in items]
    return [{"text": (await services.chat.complete(each)).content} for each in asked]


async def test_a_batch_does_not_go_around_the_ceilings(side: Side) -> None:
    side.ceilings = [Ceilings(max_tokens=None, models={"small"})]
    kind = replace(KIND, run=with_model)
    await queued(side.jobs, "large", "small")
    steps = side.steps()
    steps = replace(steps, runner=replace(steps.runner, kinds={"chat": kind}))
    part = await side.claimed()
    assert part is not None
    await asyncio.create_task(steps.advance(part))
    assert side.api.questions == ["small"]
    assert (await results(side.jobs))[0]["type"] == "urn:problem:model-not-allowed"
