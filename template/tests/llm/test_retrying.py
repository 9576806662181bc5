import pytest

from app.errors import (
    ConnectionFailed,
    LLMError,
    MalformedAnswer,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    StreamInterrupted,
)
from app.llm.types import Done, TextDelta
from app.llm.wrappers.retrying import Retrying
from app.resilience.retry import RetryPolicy
from app.testing import FakeChatModel, FakeClock, captured_logs
from tests.llm.samples import REQUEST

BUSY = ProviderUnavailable("busy", provider="fake", status=503)


def retrying(model: FakeChatModel, clock: FakeClock) -> Retrying:
    return Retrying(model, RetryPolicy(), sleep=clock.sleep, clock=clock.monotonic)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_provider_that_recovers_is_not_noticed(clock: FakeClock) -> None:
    model = FakeChatModel(BUSY, ConnectionFailed("reset"), "Hello!")
    assert (await retrying(model, clock).complete(REQUEST)).content == "Hello!"
    assert len(model.requests) == 3


async def test_each_retry_is_logged_with_its_wait(clock: FakeClock) -> None:
    with captured_logs() as logs:
        await retrying(FakeChatModel(BUSY, "Hello!"), clock).complete(REQUEST)
    (line,) = logs.events("llm.retry")
    assert line["provider"] == "fake"
    assert line["attempt"] == 1
    assert line["wait_s"] == pytest.approx(clock.sleeps[0], abs=0.001)
    assert line["error"] == "ProviderUnavailable"
    assert line["status"] == 503


async def test_the_providers_pause_is_kept(clock: FakeClock) -> None:
    model = FakeChatModel(RateLimited("slow down", retry_after_s=4), "Hello!")
    await retrying(model, clock).complete(REQUEST)
    assert 4 <= clock.sleeps[0] <= 4.5


@pytest.mark.parametrize("error", [QuotaExhausted("spent"), MalformedAnswer("?")], ids=repr)
async def test_what_would_fail_again_is_not_tried_again(error: LLMError, clock: FakeClock) -> None:
    model = FakeChatModel(error)
    with pytest.raises(type(error)):
        await retrying(model, clock).complete(REQUEST)
    assert len(model.requests) == 1


async def test_a_stream_that_has_not_begun_is_tried_again(clock: FakeClock) -> None:
    model = FakeChatModel([BUSY], ["Hel", "lo!"])
    events = [event async for event in retrying(model, clock).stream(REQUEST)]
    assert events[:2] == [TextDelta("Hel"), TextDelta("lo!")]
    assert isinstance(events[2], Done)
    assert len(model.requests) == 2


async def test_a_stream_that_has_begun_is_not(clock: FakeClock) -> None:
    model = FakeChatModel(["Hel", StreamInterrupted("cut", text="Hel")], "Hello!")
    stream = retrying(model, clock).stream(REQUEST)
    assert await anext(stream) == TextDelta("Hel")
    with pytest.raises(StreamInterrupted):
        await anext(stream)
    assert len(model.requests) == 1


async def test_closing_closes_the_stream_below(clock: FakeClock) -> None:
    model = FakeChatModel(["Hel", "lo!"])
    stream = retrying(model, clock).stream(REQUEST)
    await anext(stream)
    assert model.open_streams == 1
    await stream.aclose()
    assert model.open_streams == 0
