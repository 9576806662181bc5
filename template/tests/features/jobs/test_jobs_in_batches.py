"""Jobs with the mode `batch`: what is sent to the provider, when, and never twice."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from app.api.job_kinds import ItemResult, JobKind
from app.api.services import Services
from app.clients.account import Accounts
from app.clients.ledger import LocalLedger, Use
from app.clients.policy import ClientLimits
from app.errors import (
    LLMError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RateLimitError,
    RequestRefusedError,
)
from app.features.jobs.at_provider import AtProvider
from app.features.jobs.batch import BatchRunner
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_parts import RedisParts
from app.features.jobs.store import Delivery, Outcome, Progress
from app.features.jobs.worker import Worker
from app.llm.embedding_batches import EmbeddingBatches
from app.llm.prices import PriceList
from app.llm.provider_batches import ProviderBatches
from app.llm.spending import Ceilings
from app.llm.types import ChatRequest, Message
from app.telemetry.correlation import request_id
from app.testing import CapturedMetrics, FakeChatModel, captured_logs
from tests.features.jobs.conftest import JOB, Jobs, spec
from tests.llm.fake_batches import Crashed, FakeBatchAPI

PRICES = PriceList.parse(
    "as_of = 2026-01-01\n[batch]\nfake = 0.5\n[models.fake]\nm = { prompt = 1000, completion = 10000 }"
)
ANSWER_USD = (10 * 1000 + 2 * 10_000) / 1_000_000 / 2
AT_ONCE = JobsPolicy(batch_poll_s=0, lease_s=0)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


async def ask(
    items: Sequence[str], services: Services, _tenant: str | None
) -> Sequence[ItemResult]:
    """Like an extraction: an answer that is not valid is followed by another question."""
    results = []
    for item in items:
        answer = await services.chat.complete(ChatRequest((Message("user", item),)))
        if item.startswith("invalid"):
            again = ChatRequest((Message("user", f"Again: {item}"),))
            answer = await services.chat.complete(again)
        results.append({"text": answer.content})
    return results


KIND = JobKind(name="chat", item=TypeAdapter(str), schema=str, run=ask, in_batches=True)


@dataclass
class Side:
    """A provider's batches, and the workers that look at them, one after the other."""

    jobs: Jobs
    api: FakeBatchAPI = field(default_factory=FakeBatchAPI)
    policy: JobsPolicy = AT_ONCE
    accounts: Accounts | None = None
    ceilings: Sequence[Ceilings] = ()
    now: datetime = NOW
    seen_ids: list[str | None] = field(default_factory=list)
    metrics: CapturedMetrics = field(default_factory=CapturedMetrics)
    direct: FakeChatModel = field(default_factory=lambda: FakeChatModel("direct answer"))
    before_store: Callable[[], None] = lambda: None

    def services(self) -> Services:
        batches = ProviderBatches(self.api, "fake", PRICES, self.ceilings, {"m"})
        embeddings = EmbeddingBatches(self.direct, limit=1)
        return Services(
            chat=self.direct,
            embeddings=embeddings,
            metrics=self.metrics,
            checks={},
            providers={},
            batches=batches,
        )

    def steps(self) -> AtProvider:
        async def keep(job: str, outcomes: Sequence[Outcome]) -> None:
            self.before_store()
            self.seen_ids.append(request_id.get())
            await self.jobs.queue.store(job, outcomes)

        services = self.services()
        assert services.batches is not None
        runner = BatchRunner(services, self.accounts, {"chat": KIND}, self.policy, keep)
        return AtProvider(
            services.batches, self.jobs.parts, self.jobs.queue, runner, now=lambda: self.now
        )

    async def claimed(self) -> Delivery | None:
        return await self.jobs.parts.claim()

    async def look(self) -> float | None:
        """One worker's look at the part that is due."""
        part = await self.claimed()
        assert part is not None
        return await self.look_at(part)

    async def look_at(self, part: Delivery) -> float | None:
        pause_s = await asyncio.create_task(self.steps().advance(part))
        if pause_s is None:
            await self.jobs.parts.finish(part)
        else:
            await self.jobs.parts.later(part, 0)
        return pause_s

    async def until_over(self) -> None:
        while (part := await self.claimed()) is not None:
            await self.look_at(part)

    async def killed(self) -> None:
        """A worker that is killed in the middle of a look."""
        with pytest.raises(Crashed):
            await self.look()
        if self.jobs.shared is not None:
            self.jobs.parts = RedisParts(self.jobs.shared, self.policy)  # that of another process

    def batches(self, outcome: str) -> float:
        return self.metrics.value("job_batches_total", outcome=outcome)


async def queued(jobs: Jobs, *items: str, **changes: Any) -> None:
    encoded = [orjson.dumps(item) for item in items]
    await jobs.store.add(spec(total=len(items), mode="batch", **changes), [encoded])


async def progress_of(jobs: Jobs) -> Progress:
    found = await jobs.store.progress(JOB)
    assert found is not None
    return found


async def results(jobs: Jobs) -> dict[int, Any]:
    found = [orjson.loads(each) for each in await jobs.store.results(JOB, 0, 1000)]
    return {each["index"]: each["result"] or each["error"] for each in found}


@pytest.fixture
def side(jobs: Jobs) -> Side:
    return Side(jobs)


@pytest.fixture
def redis_side(redis_jobs: Jobs) -> Side:
    redis_jobs.parts = RedisParts(redis_jobs.shared, AT_ONCE)  # type: ignore[arg-type]
    return Side(redis_jobs)


async def test_items_go_in_one_batch_and_their_results_are_collected(side: Side) -> None:
    side.api.looks = 2
    await queued(side.jobs, "a", "b", "c", request_id="r1")
    assert await side.look() is not None
    assert side.api.questions == ["a", "b", "c"]
    assert (await progress_of(side.jobs)).state == "running"
    await side.until_over()
    progress = await progress_of(side.jobs)
    assert (progress.state, progress.succeeded) == ("completed", 3)
    assert await results(side.jobs) == {n: {"text": text} for n, text in enumerate("abc")}
    assert len(side.api.submitted) == 1
    assert side.direct.requests == []
    assert set(side.seen_ids) == {"r1"}
    assert (side.batches("sent"), side.batches("ended")) == (1, 1)
    assert side.metrics.value("job_items_total", outcome="succeeded") == 3
    assert side.metrics.value("llm_tokens_total", provider="fake", model="m", kind="prompt") == 30
    assert side.metrics.value("llm_cost_usd_total") == pytest.approx(3 * ANSWER_USD)


async def test_a_part_at_the_provider_is_no_work_of_the_queue_and_is_counted(side: Side) -> None:
    await queued(side.jobs, "a")
    assert await side.jobs.queue.take() is None
    depth = await side.jobs.queue.depth()
    assert (depth.batches, depth.at_provider) == (0, 1)
    await side.until_over()
    assert (await side.jobs.queue.depth()).at_provider == 0


async def test_a_part_is_not_claimed_before_its_time_nor_by_two_workers(jobs: Jobs) -> None:
    await queued(jobs, "a")
    part = await jobs.parts.claim()
    assert part is not None
    assert await jobs.parts.claim() is None
    assert await jobs.parts.hold(part)
    await jobs.parts.later(part, 3600)
    assert await jobs.parts.claim() is None


@pytest.mark.parametrize("certain", [True, False], ids=["key-is-stored", "key-is-in-results"])
@pytest.mark.parametrize("lost", ["before", "after"])
async def test_a_worker_that_is_killed_while_it_sends_sends_nothing_twice(
    redis_side: Side, lost: str, *, certain: bool
) -> None:
    side = redis_side
    side.api.certain = certain
    setattr(side.api, lost, [Crashed()])
    await queued(side.jobs, "a", "b")
    await side.killed()
    await side.until_over()
    assert side.api.questions == ["a", "b"]
    assert (await progress_of(side.jobs)).succeeded == 2


async def test_a_candidate_that_runs_is_waited_for_before_anything_is_sent_again(
    redis_side: Side,
) -> None:
    side = redis_side
    side.api.certain, side.api.looks, side.api.after = False, 3, [Crashed()]
    await queued(side.jobs, "a", "b")
    await side.killed()
    for _ in range(2):
        assert await side.look() is not None
        assert len(side.api.submitted) == 1
    await side.until_over()
    assert side.api.questions == ["a", "b"]


async def test_a_worker_that_is_killed_between_sending_and_collecting_is_replaced(
    redis_side: Side,
) -> None:
    side = redis_side
    side.api.polls = [Crashed()]
    await queued(side.jobs, "a", "b")
    await side.look()
    await side.killed()
    await side.until_over()
    assert side.api.questions == ["a", "b"]
    assert (await progress_of(side.jobs)).state == "completed"


async def test_a_worker_that_is_killed_while_it_stores_results_charges_each_once(
    redis_side: Side,
) -> None:
    side, ledger = redis_side, LocalLedger()
    side.accounts = accounts(ledger, budget_usd_per_day=1000)
    items = [f"q{number}" for number in range(40)]
    await queued(side.jobs, *items, client="acme")
    await side.look()
    stores: list[int] = []

    def crash_at_the_third() -> None:
        stores.append(1)
        if len(stores) == 3:
            raise Crashed

    side.before_store = crash_at_the_third
    await side.killed()
    assert 0 < (await progress_of(side.jobs)).succeeded < 40
    await side.until_over()
    assert (await progress_of(side.jobs)).succeeded == 40
    assert side.api.questions == items
    assert side.metrics.value("client_cost_usd_total") == pytest.approx(40 * ANSWER_USD)


async def test_a_part_that_ends_its_workers_fails_after_so_many_claims(redis_side: Side) -> None:
    side = redis_side
    side.policy = replace(AT_ONCE, max_deliveries=2)
    side.api.looks = 100
    await queued(side.jobs, "a")
    await side.look()
    side.api.polls = [Crashed(), Crashed()]
    await side.killed()
    await side.killed()
    await side.until_over()
    assert "2 workers ended" in (await results(side.jobs))[0]["detail"]
    assert side.api.cancelled == ["batch_1"]


async def test_a_worker_that_lost_its_part_does_not_take_it_back(redis_side: Side) -> None:
    side = redis_side
    await queued(side.jobs, "a")
    part = await side.claimed()
    assert part is not None
    assert side.jobs.shared is not None
    await asyncio.sleep(0.002)  # the lease of the fake Redis has whole milliseconds
    other = RedisParts(side.jobs.shared, JobsPolicy())
    assert await other.claim() == replace(part, number=2)
    assert not await side.jobs.parts.hold(part)
    await side.jobs.parts.finish(part)
    assert await other.hold(part)


async def test_a_cancelled_job_cancels_its_batch(side: Side) -> None:
    side.api.looks = 100
    await queued(side.jobs, "a", "b")
    await side.look()
    await side.jobs.store.cancel(JOB)
    await side.until_over()
    assert side.api.cancelled == ["batch_1"]
    assert side.batches("cancelled") == 1
    assert (await progress_of(side.jobs)).state == "cancelled"
    assert (await side.jobs.queue.depth()).at_provider == 0


async def test_a_job_that_is_cancelled_before_it_is_sent_costs_nothing(side: Side) -> None:
    await queued(side.jobs, "a")
    await side.jobs.store.cancel(JOB)
    await side.until_over()
    assert side.api.submitted == {}


async def test_a_batch_with_a_lost_id_is_cancelled_too(redis_side: Side) -> None:
    side = redis_side
    side.api.looks, side.api.after = 100, [Crashed()]
    await queued(side.jobs, "a")
    await side.killed()
    await side.jobs.store.cancel(JOB)
    await side.until_over()
    assert side.api.cancelled == ["batch_1"]


async def test_a_cancellation_that_fails_is_tried_again(side: Side) -> None:
    side.api.looks = 100
    await queued(side.jobs, "a")
    await side.look()
    await side.jobs.store.cancel(JOB)
    side.api.polls = [ProviderUnavailableError("busy", status=503)]
    assert await side.look() is not None
    await side.until_over()
    assert side.api.cancelled == ["batch_1"]


def accounts(ledger: LocalLedger, **limits: Any) -> Accounts:
    return Accounts(
        ledger,
        defaults=ClientLimits(),
        clients={"acme": ClientLimits(**limits)},
        estimate=lambda _: Use(),
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


async def with_model(
    items: Sequence[str], services: Services, _tenant: str | None
) -> Sequence[ItemResult]:
    asked = [ChatRequest((Message("user", item),), model=item) for item in items]
    return [{"text": (await services.chat.complete(each)).content} for each in asked]


async def test_a_refused_batch_fails_its_items(side: Side) -> None:
    side.api.before = [RequestRefusedError("bad", provider="fake", status=400)]
    await queued(side.jobs, "a", "b")
    await side.until_over()
    assert (await progress_of(side.jobs)).failed == 2
    assert side.api.submitted == {}


async def test_a_limit_of_the_provider_delays_a_batch(side: Side) -> None:
    side.api.before = [RateLimitError("slow", provider="fake", status=429, retry_after_s=90)]
    await queued(side.jobs, "a")
    assert await side.look() == 90
    await side.until_over()
    assert (await progress_of(side.jobs)).succeeded == 1


async def test_a_batch_that_the_provider_does_not_accept_in_time_fails(side: Side) -> None:
    side.api.before = [ProviderUnavailableError("busy", status=503)]
    await queued(side.jobs, "a")
    await side.look()
    side.now += timedelta(seconds=side.policy.max_wait_s + 1)
    await side.until_over()
    assert "JOBS_MAX_WAIT_S" in (await results(side.jobs))[0]["detail"]
    assert side.api.submitted == {}


async def test_an_answer_that_is_lost_does_not_send_the_batch_again(side: Side) -> None:
    side.api.after = [ProviderTimeoutError("late", provider="fake")]
    await queued(side.jobs, "a")
    await side.until_over()
    assert side.api.questions == ["a"]
    assert (await progress_of(side.jobs)).succeeded == 1


@pytest.mark.parametrize("place", ["polls", "downloads"])
async def test_an_outage_of_the_provider_costs_no_result(side: Side, place: str) -> None:
    await queued(side.jobs, "a")
    await side.look()
    setattr(side.api, place, [ProviderUnavailableError("busy", status=503)] * 3)
    for _ in range(3):
        assert await side.look() is not None
    await side.until_over()
    assert (await progress_of(side.jobs)).succeeded == 1
    assert side.api.questions == ["a"]


async def test_a_batch_that_the_provider_has_lost_fails_and_is_not_sent_again(side: Side) -> None:
    await queued(side.jobs, "a")
    await side.look()
    side.api.submitted.clear()
    await side.until_over()
    assert (await results(side.jobs))[0]["status"] == 502
    assert side.api.submitted == {}
    assert side.batches("lost") == 1


async def test_a_batch_that_never_ends_is_cancelled_and_fails(side: Side) -> None:
    side.api.looks = 1000
    await queued(side.jobs, "a")
    await side.look()
    side.now += timedelta(hours=27)
    await side.until_over()
    assert "26 hours" in (await results(side.jobs))[0]["detail"]
    assert side.api.cancelled == ["batch_1"]


async def test_a_batch_of_a_provider_that_is_no_longer_the_first_fails(side: Side) -> None:
    side.api.looks = 1000
    await queued(side.jobs, "a")
    await side.look()
    side.api.name = "other"
    await side.until_over()
    assert "no longer the first" in (await results(side.jobs))[0]["detail"]


async def test_a_worker_looks_at_parts_beside_its_batches(side: Side) -> None:
    """The only place for batches is taken by a call that never ends."""
    hanging = asyncio.Event()

    async def hang(
        items: Sequence[str], services: Services, tenant: str | None
    ) -> Sequence[ItemResult]:
        if items == ["hang"]:
            hanging.set()
            await asyncio.Event().wait()
        return await ask(items, services, tenant)

    await side.jobs.store.add(spec(1, total=1), [[b'"hang"']])
    kinds = {"chat": replace(KIND, run=hang)}
    options: dict[str, Any] = {"parts": side.jobs.parts, "report_s": 0.01}
    worker = Worker(side.jobs.queue, side.services(), kinds, AT_ONCE, **options)
    with captured_logs() as logs:
        async with worker.running():
            await hanging.wait()
            await queued(side.jobs, "a")
            while not (await progress_of(side.jobs)).has_ended:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
    assert (await progress_of(side.jobs)).succeeded == 1
    assert len(logs.events("job.completed")) == 1
