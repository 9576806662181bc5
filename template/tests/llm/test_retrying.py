import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.errors import (
    LimitReachedError,
    LLMError,
    MalformedAnswerError,
    ProviderConnectionError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    QuotaExhaustedError,
    RateLimitError,
    RequestRefusedError,
    StreamInterruptedError,
)
from app.llm.guards.guard import Call, Guard, stacked
from app.llm.guards.retrying import Retrying
from app.llm.model import Model
from app.llm.types import Done, EmbeddingRequest, Embeddings, TextDelta
from app.resilience.retry import RetryPolicy
from app.testing import FakeChatModel, FakeClock, captured_logs
from tests.llm.samples import REQUEST, ask

BUSY = ProviderUnavailableError("busy", provider="fake", status=503)


class Speechless(Guard):
    """A guard behind which vectors never come."""

    async def embed(
        self,
        request: EmbeddingRequest,  # noqa: ARG002 - the base class's name
        call: Call[EmbeddingRequest, Embeddings],  # noqa: ARG002
    ) -> Embeddings:
        await asyncio.Event().wait()
        raise AssertionError


def retrying(model: FakeChatModel, clock: FakeClock) -> Model:
    return stacked(model, [Retrying(RetryPolicy(), sleep=clock.sleep, clock=clock.monotonic)])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_provider_that_recovers_is_not_noticed(clock: FakeClock) -> None:
    model = FakeChatModel(BUSY, ProviderConnectionError("reset"), "Hello!")
    assert (await retrying(model, clock).complete(REQUEST)).content == "Hello!"
    assert len(model.requests) == 3


async def test_each_retry_is_logged_with_its_wait(clock: FakeClock) -> None:
    with captured_logs() as logs:
        await retrying(FakeChatModel(BUSY, "Hello!"), clock).complete(REQUEST)
    (line,) = logs.events("llm.retry")
    assert line["provider"] == "fake"
    assert line["attempt"] == 1
    assert line["wait_s"] == pytest.approx(clock.sleeps[0], abs=0.001)
    assert line["error"] == "ProviderUnavailableError"
    assert line["status"] == 503


async def test_the_providers_pause_is_kept(clock: FakeClock) -> None:
    model = FakeChatModel(RateLimitError("slow down", retry_after_s=4), "Hello!")
    await retrying(model, clock).complete(REQUEST)
    assert 4 <= clock.sleeps[0] <= 4.5


@pytest.mark.parametrize(
    "error", [QuotaExhaustedError("spent"), MalformedAnswerError("?")], ids=repr
)
async def test_what_would_fail_again_is_not_tried_again(error: LLMError, clock: FakeClock) -> None:
    model = FakeChatModel(error)
    with pytest.raises(type(error)):
        await retrying(model, clock).complete(REQUEST)
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        pytest.param(RequestRefusedError("?", status=400, should_retry=True), 1, id="400, but yes"),
        pytest.param(
            ProviderUnavailableError("?", status=503, should_retry=False), 1, id="503, but no"
        ),
        pytest.param(
            QuotaExhaustedError("?", status=429, should_retry=True), 1, id="money, but yes"
        ),
    ],
)
async def test_the_provider_knows_better_than_its_status_except_about_money(
    error: LLMError, attempts: int, clock: FakeClock
) -> None:
    model = FakeChatModel(error, "Hello!")
    await asyncio.gather(retrying(model, clock).complete(REQUEST), return_exceptions=True)
    assert len(model.requests) == attempts


async def test_all_calls_to_a_provider_share_one_budget(clock: FakeClock) -> None:
    model = FakeChatModel(BUSY)
    policy = RetryPolicy(budget_reserve=3, budget_ratio=0)
    guarded = stacked(model, [Retrying(policy, sleep=clock.sleep, clock=clock.monotonic)])
    with captured_logs() as logs:
        for _ in range(10):
            with pytest.raises(ProviderUnavailableError):
                await guarded.complete(REQUEST)
    assert len(model.requests) == 13
    refusals = logs.events("llm.retry_refused")
    assert len(refusals) == 9
    assert refusals[-1].items() >= {"provider": "fake", "attempt": 1, "status": 503}.items()


@pytest.mark.slow
async def test_a_thousand_failing_requests_in_parallel_are_at_most_a_fifth_more() -> None:
    model = FakeChatModel(BUSY)
    guarded = stacked(model, [Retrying(RetryPolicy(base_delay_s=0.001, max_delay_s=0.001))])
    calls = [guarded.complete(REQUEST) for _ in range(1000)]
    assert {type(end) for end in await asyncio.gather(*calls, return_exceptions=True)} == {
        ProviderUnavailableError
    }
    assert 1000 < len(model.requests) <= 1200


async def complete(guarded: Model) -> object:
    return await guarded.complete(REQUEST)


async def stream(guarded: Model) -> object:
    return await anext(guarded.stream(REQUEST))


async def embed(guarded: Model) -> object:
    return await guarded.embed(EmbeddingRequest(("text",)))


@pytest.mark.parametrize("call", [complete, stream, embed])
async def test_the_deadline_is_a_timeout_like_any_other(
    call: Callable[[Model], Awaitable[object]],
) -> None:
    model = FakeChatModel([asyncio.Event().wait])
    guarded = stacked(model, [Retrying(RetryPolicy(deadline_s=0.02)), Speechless()])
    with pytest.raises(ProviderTimeoutError, match=r"fake did not answer within 0\.02 s") as raised:
        await call(guarded)
    assert raised.value.provider == "fake"
    assert model.open_streams == 0


async def test_the_deadline_is_not_for_a_stream_that_has_begun() -> None:
    model = FakeChatModel(["Hel", lambda: asyncio.sleep(0.1), "lo!"])
    guarded = stacked(model, [Retrying(RetryPolicy(deadline_s=0.05))])
    *_, done = [event async for event in guarded.stream(REQUEST)]
    assert isinstance(done, Done)


async def test_a_stream_that_has_not_begun_is_tried_again(clock: FakeClock) -> None:
    model = FakeChatModel([BUSY], ["Hel", "lo!"])
    events = [event async for event in retrying(model, clock).stream(REQUEST)]
    assert events[:2] == [TextDelta("Hel"), TextDelta("lo!")]
    assert isinstance(events[2], Done)
    assert len(model.requests) == 2


async def test_a_stream_that_has_begun_is_not(clock: FakeClock) -> None:
    model = FakeChatModel(["Hel", StreamInterruptedError("cut", text="Hel")], "Hello!")
    stream = retrying(model, clock).stream(REQUEST)
    assert await anext(stream) == TextDelta("Hel")
    with pytest.raises(StreamInterruptedError):
        await anext(stream)
    assert len(model.requests) == 1


async def test_closing_closes_the_stream_below(clock: FakeClock) -> None:
    model = FakeChatModel(["Hel", "lo!"])
    stream = retrying(model, clock).stream(REQUEST)
    await anext(stream)
    assert model.open_streams == 1
    await stream.aclose()
    assert model.open_streams == 0


@pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "streamed"])
async def test_our_own_limit_does_not_hide_why_a_retry_was_needed(
    clock: FakeClock, *, stream: bool
) -> None:
    model = FakeChatModel(BUSY, ProviderConnectionError("reset"), LimitReachedError("enough"))
    with pytest.raises(ProviderConnectionError, match="reset"):
        await ask(retrying(model, clock), stream=stream)
    assert len(model.requests) == 3


async def test_our_own_limit_at_the_first_attempt_is_what_it_is(clock: FakeClock) -> None:
    with pytest.raises(LimitReachedError):
        await retrying(FakeChatModel(LimitReachedError("enough")), clock).complete(REQUEST)
