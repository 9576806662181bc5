"""A provider's batches, and the workers that look at them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from app.api.job_kinds import ItemResult, JobKind
from app.api.services import Services
from app.clients.account import Accounts
from app.clients.ledger import LocalLedger, Use
from app.clients.policy import ClientLimits
from app.features.jobs.at_provider import AtProvider
from app.features.jobs.batch import BatchRunner
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_parts import RedisParts
from app.features.jobs.store import Delivery, Outcome
from app.llm.embedding_batches import EmbeddingBatches
from app.llm.price_files import parse_prices
from app.llm.provider_batches import ProviderBatches
from app.llm.spending import Ceilings
from app.llm.types import ChatRequest, Message
from app.telemetry.correlation import request_id
from app.testing import CapturedMetrics, FakeChatModel
from tests.features.jobs.both_sides import Jobs, spec
from tests.llm.fake_batches import Crashed, FakeBatchAPI

PRICES = parse_prices(
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


def accounts(ledger: LocalLedger, **limits: Any) -> Accounts:
    return Accounts(
        ledger,
        defaults=ClientLimits(),
        clients={"acme": ClientLimits(**limits)},
        estimate=lambda _: Use(),
    )
