"""Calls that find all connections of their provider busy: shed, or sent to the next provider."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import ContextVar

import httpx2
import pytest

from app.errors import OverloadedError, ProviderUnavailableError
from app.llm.fallback import Fallback
from app.llm.guards.guard import stacked
from app.llm.guards.hedged import Hedged
from app.llm.guards.retrying import Retrying
from app.llm.pools import BoundedTransport, Gate, Pools
from app.llm.types import ChatRequest, LLMResponse, Message
from app.resilience.bulkhead import Bulkhead, QueuePolicy
from app.resilience.hedge import HedgePolicy
from app.resilience.retry import RetryPolicy
from app.telemetry.correlation import client, tenant
from app.testing import CapturedLogs, CapturedMetrics, FakeChatModel, FakeClock

ASKED = ChatRequest((Message("user", "Hi"),))
POST = httpx2.Request("POST", "http://provider/v1")
BUSY = OverloadedError("full", provider="first", retry_after_s=2)
DOWN = ProviderUnavailableError("down", provider="second", status=503)


class Bounded(FakeChatModel):
    """A model that takes a place of its bulkhead for each call, as a provider's client does."""

    def __init__(self, name: str, bulkhead: Bulkhead, *turns: str | Exception) -> None:
        super().__init__(*turns, name=name)
        self._pool = BoundedTransport(httpx2.MockTransport(_empty), Gate(name, bulkhead))

    async def complete(self, request: ChatRequest) -> LLMResponse:
        async with aclosing(await self._pool.handle_async_request(POST)):
            return await super().complete(request)


async def full(*, length: int = 0) -> Bulkhead:
    bulkhead = Bulkhead(1, QueuePolicy(length=length, timeout_s=60))
    await bulkhead.take()
    return bulkhead


class Chain:
    """Two providers with a connection each, as `app.wiring` connects them."""

    def __init__(self, first: Bulkhead, second: Bulkhead, answer: str | Exception = "2") -> None:
        self.metrics = CapturedMetrics()
        self.bulkheads = {"first": first, "second": second}
        self.second = Bounded("second", second, answer)
        self.model = Fallback(
            [Bounded("first", first, "1"), self.second],
            bulkheads=self.bulkheads,
            metrics=self.metrics,
        )


async def test_a_full_provider_is_passed_over_if_the_next_one_has_a_free_connection() -> None:
    chain = Chain(await full(length=5), Bulkhead(1))
    assert (await chain.model.complete(ASKED)).provider == "second"
    assert chain.metrics.value("llm_overflows_total", provider="first") == 1
    assert chain.metrics.value("llm_fallbacks_total") == 0


async def test_if_all_are_full_the_call_is_shed_and_not_sent_on() -> None:
    chain = Chain(await full(), await full())
    with pytest.raises(OverloadedError) as refused:
        await chain.model.complete(ASKED)
    assert refused.value.provider == "first"
    assert (refused.value.retry_after_s or 0) >= 1
    assert chain.metrics.value("llm_overflows_total") == 0
    assert chain.metrics.value("llm_fallbacks_total") == 0


@pytest.mark.parametrize(
    "named",
    [
        ChatRequest(ASKED.messages, provider="first"),
        ChatRequest(ASKED.messages, model="first-large"),
    ],
    ids=["provider", "model"],
)
async def test_a_request_that_names_its_provider_or_model_is_not_sent_to_another(
    named: ChatRequest,
) -> None:
    chain = Chain(await full(), Bulkhead(1))
    with pytest.raises(OverloadedError):
        await chain.model.complete(named)
    assert chain.second.requests == []


async def test_if_all_are_full_the_call_waits_for_the_first() -> None:
    first = await full(length=1)
    chain = Chain(first, await full(length=1))
    call = asyncio.create_task(chain.model.complete(ASKED))
    await asyncio.sleep(0)
    assert first.waiting == 1
    first.release()
    assert (await call).provider == "first"


async def test_a_call_waits_for_the_full_provider_if_the_next_one_fails() -> None:
    first = await full(length=1)
    chain = Chain(first, Bulkhead(1), DOWN)
    call = asyncio.create_task(chain.model.complete(ASKED))
    while not first.waiting:  # noqa: ASYNC110 - the queue has no event
        await asyncio.sleep(0)
    first.release()
    assert (await call).provider == "first"


async def test_a_refusal_of_the_next_provider_ends_the_call_after_a_failure() -> None:
    chain = Fallback([FakeChatModel(DOWN, name="first"), FakeChatModel(BUSY, name="second")])
    with pytest.raises(OverloadedError):
        await chain.complete(ASKED)


async def test_an_overload_is_not_retried() -> None:
    clock, model = FakeClock(), FakeChatModel(BUSY, "too late")
    retrying = Retrying(RetryPolicy(), sleep=clock.sleep, clock=clock.monotonic)
    with pytest.raises(OverloadedError):
        await stacked(model, [retrying]).complete(ASKED)
    assert len(model.requests) == 1


async def test_an_overloaded_retry_fails_as_the_provider_did() -> None:
    clock, model = FakeClock(), FakeChatModel(DOWN, BUSY)
    retrying = Retrying(RetryPolicy(), sleep=clock.sleep, clock=clock.monotonic)
    with pytest.raises(ProviderUnavailableError):
        await stacked(model, [retrying]).complete(ASKED)


async def test_a_call_that_waits_for_a_connection_is_not_hedged_into_the_queue() -> None:
    bulkhead = await full(length=5)
    model = Bounded("first", bulkhead, "1")
    hedged = stacked(model, [Hedged(HedgePolicy(after_s=0.01, max_extra=1))])
    call = asyncio.create_task(hedged.complete(ASKED))
    await asyncio.sleep(0.05)
    assert bulkhead.waiting == 1
    bulkhead.release()
    assert (await call).content == "1"


async def test_refusals_are_counted_and_one_of_them_is_logged(logs: CapturedLogs) -> None:
    metrics = CapturedMetrics()
    pools = Pools(1, lambda _: httpx2.MockTransport(_never), lambda: Bulkhead(1, NO_QUEUE), metrics)
    await pools.gate("first").bulkhead.take()
    for _ in range(3):
        with pytest.raises(OverloadedError, match="first was not called: too many calls"):
            await pools.calls("first").handle_async_request(POST)
    assert metrics.value("llm_shed_total", provider="first", reason="full") == 3
    (line,) = logs.events("llm.shed")
    assert (line["provider"], line["reason"], line["waiting"]) == ("first", "full", 0)


async def test_waiting_calls_and_their_waits_are_measured() -> None:
    metrics = CapturedMetrics()
    pools = Pools(1, lambda _: httpx2.MockTransport(_empty), lambda: Bulkhead(1), metrics)
    await pools.gate("first").bulkhead.take()
    call = asyncio.create_task(pools.calls("first").handle_async_request(POST))
    await asyncio.sleep(0.01)
    assert metrics.value("llm_queue_waiting", provider="first") == 1
    assert metrics.value("llm_places_used_ratio") == 2
    pools.gate("first").bulkhead.release()
    await (await call).aclose()
    assert metrics.value("llm_queue_waiting", provider="first") == 0
    assert metrics.value("llm_queue_wait_seconds_count", provider="first") == 1


async def test_the_share_of_places_is_that_of_the_busiest_provider() -> None:
    metrics = CapturedMetrics()
    assert metrics.value("llm_places_used_ratio") == 0
    pools = Pools(4, lambda _: httpx2.MockTransport(_empty), lambda: Bulkhead(4), metrics)
    await pools.gate("first").bulkhead.take()
    for _ in range(3):
        await pools.gate("second").bulkhead.take()
    assert metrics.value("llm_places_used_ratio") == 0.75
    pools.gate("second").bulkhead.release()
    assert metrics.value("llm_places_used_ratio") == 0.5


@pytest.mark.parametrize("caller", [client, tenant], ids=["client", "tenant"])
async def test_a_modest_caller_takes_the_place_of_a_greedy_one_in_the_queue(
    caller: ContextVar[str | None],
) -> None:
    bulkhead = Bulkhead(1, QueuePolicy(length=1))
    pool = BoundedTransport(httpx2.MockTransport(_empty), Gate("first", bulkhead))
    token = caller.set("greedy")
    running = await pool.handle_async_request(POST)
    waiting = asyncio.create_task(pool.handle_async_request(POST))
    await asyncio.sleep(0)
    caller.set("modest")
    modest = asyncio.create_task(pool.handle_async_request(POST))
    caller.reset(token)
    with pytest.raises(OverloadedError):
        await waiting
    await running.aclose()
    await (await modest).aclose()
    assert not bulkhead.is_full


NO_QUEUE = QueuePolicy(length=0)


class _Unread(httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        yield b"{}"


def _empty(_request: httpx2.Request) -> httpx2.Response:
    return httpx2.Response(200, stream=_Unread())


def _never(_request: httpx2.Request) -> httpx2.Response:
    raise AssertionError("a refused call is not sent")
