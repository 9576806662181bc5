import asyncio
from contextlib import aclosing, suppress

import pytest

from app.errors import (
    AuthenticationError,
    CircuitOpenError,
    LimitReachedError,
    LLMError,
    MalformedAnswerError,
    ModelNotFoundError,
    OverloadedError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    StreamInterruptedError,
    UnsupportedRequestError,
)
from app.llm.fallback import Fallback
from app.llm.guards.circuit_breaking import CircuitBreaking
from app.llm.guards.guard import stacked
from app.llm.guards.retrying import Retrying
from app.llm.types import Done, EmbeddingRequest, Embeddings, TextDelta
from app.resilience.circuit_breaker import BreakerPolicy
from app.resilience.retry import RetryPolicy
from app.testing import CapturedLogs, FakeChatModel, FakeClock, Turn
from tests.llm.samples import REQUEST, ask

BUSY = ProviderUnavailableError("busy", status=503)
DOWN = [
    ProviderConnectionError("reset"),
    ProviderTimeoutError("late"),
    BUSY,
    StreamInterruptedError("cut", text="Hel"),
    MalformedAnswerError("?"),
]
ALIVE = [
    AuthenticationError("no key"),
    ModelNotFoundError("no model"),
    RequestRefusedError("too long"),
    QuotaExhaustedError("spent"),
]
SILENT = [
    LimitReachedError("enough"),
    RateLimitError("slow down"),
    OverloadedError("full"),
    UnsupportedRequestError("no embeddings"),
]
both_ways = pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "streamed"])


class Bench:
    def __init__(self, *turns: Turn) -> None:
        self.clock = FakeClock()
        self.model = FakeChatModel(*turns)
        policy = BreakerPolicy(failures=2, reset_s=30)
        self.guard = CircuitBreaking(policy, clock=self.clock.monotonic)
        self.guarded = stacked(self.model, [self.guard])

    @property
    def state(self) -> str:
        return self.guard.health.report().state

    async def asks(self, *, stream: bool = False) -> None:
        with suppress(LLMError):
            await ask(self.guarded, stream=stream)

    async def opened(self) -> "Bench":
        await self.asks()
        await self.asks()
        self.clock.now += 30
        return self


def kind(error: LLMError) -> str:
    return type(error).__name__


@both_ways
@pytest.mark.parametrize("error", DOWN, ids=kind)
async def test_a_provider_that_keeps_failing_is_left_alone(
    error: LLMError, *, stream: bool
) -> None:
    bench = Bench(error)
    await bench.asks(stream=stream)
    await bench.asks(stream=stream)
    bench.clock.now += 10
    with pytest.raises(CircuitOpenError, match="fake failed too often") as refusal:
        await ask(bench.guarded, stream=stream)
    assert (refusal.value.provider, refusal.value.retry_after_s) == ("fake", 20)
    assert len(bench.model.requests) == 2


@both_ways
@pytest.mark.parametrize("error", ALIVE, ids=kind)
async def test_a_provider_that_refuses_is_not_away(error: LLMError, *, stream: bool) -> None:
    bench = Bench(BUSY, error, BUSY, error)
    for _ in range(4):
        await bench.asks(stream=stream)
    assert bench.state == "closed"


@both_ways
@pytest.mark.parametrize("error", SILENT, ids=kind)
async def test_what_says_nothing_about_the_provider_changes_nothing(
    error: LLMError, *, stream: bool
) -> None:
    bench = Bench(BUSY, error, error, error, BUSY)
    for _ in range(4):
        await bench.asks(stream=stream)
    assert bench.state == "closed"
    await bench.asks(stream=stream)
    assert bench.state == "open"


async def test_a_stream_that_breaks_is_a_failure() -> None:
    bench = Bench(["Hel", StreamInterruptedError("cut", text="Hel")])
    await bench.asks(stream=True)
    await bench.asks(stream=True)
    assert bench.state == "open"


@both_ways
async def test_an_answer_closes_the_circuit(*, stream: bool) -> None:
    bench = await Bench(BUSY, BUSY, "Hello!").opened()
    await bench.asks(stream=stream)
    assert bench.state == "closed"


async def test_a_stream_closes_the_circuit_with_its_first_event() -> None:
    bench = await Bench(BUSY, BUSY, ["Hel", "lo!"]).opened()
    async with aclosing(bench.guarded.stream(REQUEST)) as events:
        assert await anext(events) == TextDelta("Hel")
        assert bench.state == "closed"


async def test_a_stream_is_good_as_soon_as_it_is_done() -> None:
    bench = Bench(BUSY, "Hello!", BUSY)
    await bench.asks(stream=True)
    async with aclosing(bench.guarded.stream(REQUEST)) as events:
        assert isinstance([await anext(events), await anext(events)][1], Done)
    await bench.asks(stream=True)
    assert bench.state == "closed"


@both_ways
async def test_a_cancelled_probe_leaves_the_finding_out_to_the_next(*, stream: bool) -> None:
    bench = await Bench(BUSY, BUSY, [asyncio.Event().wait], "Hello!").opened()
    probe = asyncio.create_task(ask(bench.guarded, stream=stream))
    await asyncio.sleep(0)
    with pytest.raises(CircuitOpenError):
        await ask(bench.guarded, stream=stream)
    probe.cancel()
    await asyncio.wait([probe])
    assert bench.state == "half_open"
    await ask(bench.guarded, stream=stream)
    assert bench.state == "closed"


async def test_a_cancelled_stream_does_not_count_against_the_circuit() -> None:
    bench = Bench(BUSY, ["Hel", "lo!"], BUSY)
    await bench.asks()
    async with aclosing(bench.guarded.stream(REQUEST)) as events:
        await anext(events)
    assert bench.model.open_streams == 0
    await bench.asks()
    assert bench.state == "open"


async def test_embeddings_are_calls_like_any_other() -> None:
    class Away(FakeChatModel):
        async def embed(self, _request: EmbeddingRequest, /) -> Embeddings:
            raise BUSY

    guarded = stacked(Away(), [CircuitBreaking(BreakerPolicy(failures=1))])
    with pytest.raises(ProviderUnavailableError):
        await guarded.embed(EmbeddingRequest(("a",)))
    with pytest.raises(CircuitOpenError):
        await guarded.embed(EmbeddingRequest(("a",)))
    assert (await Bench().guarded.embed(EmbeddingRequest(("a",)))).vectors == ((1.0, 1.0),)


async def test_changes_are_logged_with_their_reason(logs: CapturedLogs) -> None:
    bench = await Bench(BUSY, BUSY, "Hello!").opened()
    await bench.asks()
    lines = [(x["level"], x["state"], x["why"]) for x in logs.events("llm.circuit")]
    assert lines == [
        ("warning", "open", "2 failures in a row"),
        ("info", "half_open", "one call may try"),
        ("info", "closed", "the probe was answered"),
    ]
    assert {line["provider"] for line in logs.events("llm.circuit")} == {"fake"}


async def test_an_open_circuit_is_not_retried_and_the_next_provider_answers() -> None:
    bench = Bench(BUSY)
    retrying = Retrying(RetryPolicy(max_attempts=10), sleep=bench.clock.sleep)
    chain = Fallback([stacked(bench.guarded, [retrying]), FakeChatModel("from two", name="two")])
    for _ in range(3):
        assert (await chain.complete(REQUEST)).content == "from two"
    assert len(bench.model.requests) == 2
    assert len(bench.clock.sleeps) == 2


@pytest.mark.parametrize(
    ("error", "rate"),
    [*((error, 0.0) for error in [*DOWN, ALIVE[0], ALIVE[3]]), *((e, 1.0) for e in ALIVE[1:3])],
    ids=lambda value: kind(value) if isinstance(value, LLMError) else "",
)
async def test_health_is_whether_calls_like_these_get_an_answer(
    error: LLMError, rate: float
) -> None:
    bench = Bench(error)
    await bench.asks()
    assert bench.guard.health.report().success_rate == rate


@pytest.mark.parametrize("error", SILENT, ids=kind)
async def test_what_was_not_asked_is_no_part_of_health(error: LLMError) -> None:
    bench = Bench(error, "Hello!")
    await bench.asks()
    assert bench.guard.health.report().calls == 0
    await bench.asks()
    assert (bench.guard.health.report().success_rate, bench.state) == (1.0, "closed")
