"""How a batch runs: what waits and is tried again, what is final, and the client that each call belongs to."""

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from app.api.job_kinds import ItemResult
from app.clients.account import Accounts, current_account
from app.clients.ledger import LocalLedger, Use
from app.clients.policy import ClientLimits
from app.errors import (
    BudgetSpentError,
    CircuitOpenError,
    LimitReachedError,
    LLMError,
    NothingCanAnswerError,
    ProviderTimeoutError,
)
from app.features.jobs.batch import BatchRunner
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.store import Outcome, Work
from app.telemetry.correlation import client, request_id, tenant, traceparent
from app.testing import CapturedMetrics, FakeClock
from tests.features.jobs.both_sides import spec
from tests.features.jobs.fake_kinds import Run, double, kinds, services


def runner(run: Run, kept: list[Outcome], clock: FakeClock, **options: Any) -> BatchRunner:
    async def keep(_: str, outcomes: Sequence[Outcome]) -> None:
        kept.extend(outcomes)

    return BatchRunner(
        services(),
        options.pop("accounts", None),
        kinds(run, **options),
        JobsPolicy(max_wait_s=60),
        keep,
        clock=clock.monotonic,
        sleep=clock.sleep,
    )


WORK = Work(spec(total=2), {0: b"0", 1: b"1"})


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(LimitReachedError("own limit", retry_after_s=5), id="rate-limit"),
        pytest.param(CircuitOpenError("open", retry_after_s=5), id="circuit"),
        pytest.param(
            NothingCanAnswerError([CircuitOpenError("open", retry_after_s=5)]), id="all-circuits"
        ),
    ],
)
async def test_an_item_that_was_not_sent_waits_and_is_tried_again(refusal: LLMError) -> None:
    answers: list[LLMError | None] = [refusal, refusal, None]

    async def run(items: Sequence[int]) -> list[ItemResult]:
        if (error := answers.pop(0)) is not None:
            raise error
        return await double(items)

    kept: list[Outcome] = []
    clock = FakeClock()
    await runner(run, kept, clock, items_per_call=2).run(WORK)
    assert [each.is_success for each in kept] == [True, True]
    assert clock.sleeps == [5, 5]


async def test_only_the_refused_items_of_a_call_are_tried_again() -> None:
    asked: list[Sequence[int]] = []

    async def run(items: Sequence[int]) -> list[ItemResult]:
        asked.append(list(items))
        refused = LimitReachedError("own limit", retry_after_s=0.1)
        return [refused if item == 1 and len(asked) == 1 else {"value": item} for item in items]

    kept: list[Outcome] = []
    clock = FakeClock()
    await runner(run, kept, clock, items_per_call=2).run(WORK)
    assert asked == [[0, 1], [1]]
    assert clock.sleeps == [1.0]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(LimitReachedError("own limit", retry_after_s=61), id="longer-than-allowed"),
        pytest.param(ProviderTimeoutError("late", retry_after_s=1), id="it-was-sent"),
        pytest.param(
            BudgetSpentError("spent", limit="budget", renews_at="later", retry_after_s=1),
            id="the-budget",
        ),
        pytest.param(
            NothingCanAnswerError(
                [CircuitOpenError("open", retry_after_s=5), ProviderTimeoutError("late")]
            ),
            id="one-was-sent",
        ),
    ],
)
async def test_other_errors_are_final(error: LLMError) -> None:
    async def run(_: Sequence[int]) -> list[ItemResult]:
        raise error

    kept: list[Outcome] = []
    clock = FakeClock()
    await runner(run, kept, clock).run(WORK)
    assert [each.is_success for each in kept] == [False, False]
    assert clock.sleeps == []


async def test_a_call_runs_in_the_name_of_the_client_of_the_job() -> None:
    seen: list[object] = []

    async def run(items: Sequence[int]) -> list[ItemResult]:
        seen.extend([client.get(), tenant.get(), request_id.get(), traceparent.get()])
        return await double(items)

    named = spec(total=1, client="acme", tenant="acme:7", request_id="r1", traceparent="t1")
    work = Work(named, {0: b"0"})
    await asyncio.create_task(runner(run, [], FakeClock()).run(work))
    assert seen == ["acme", None, "r1", "t1"]
    assert client.get() is None


async def test_a_call_is_charged_to_the_budget_of_its_client_until_it_is_spent() -> None:
    async def run(items: Sequence[int]) -> list[ItemResult]:
        account = current_account.get()
        assert account is not None
        account.charge(Use(10, 600_000_000))
        return await double(items)

    accounts = Accounts(
        LocalLedger(),
        defaults=ClientLimits(),
        clients={"acme": ClientLimits(budget_usd_per_day=1)},
        estimate=lambda _: Use(),
    )
    kept: list[Outcome] = []
    items: dict[int, bytes | None] = {index: b"%d" % index for index in range(4)}
    work = Work(spec(total=4, client="acme"), items)
    charged = runner(run, kept, FakeClock(), accounts=accounts, calls_per_batch=1)
    await asyncio.create_task(charged.run(work))
    assert [each.is_success for each in kept] == [True, True, False, False]
    assert orjson.loads(kept[-1].encoded)["error"]["type"] == "urn:problem:budget-spent"
    assert isinstance(charged.services.metrics, CapturedMetrics)
    assert charged.services.metrics.value("client_tokens_total", client="acme") == 20
