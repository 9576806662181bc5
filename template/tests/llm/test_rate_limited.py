from collections.abc import Awaitable, Callable

import pytest

from app.errors import LimitReachedError, OverloadedError
from app.llm.guards.guard import stacked
from app.llm.guards.rate_limited import RateLimited
from app.llm.model import Model
from app.llm.types import EmbeddingRequest
from app.resilience.rate_limit import LocalLimiter, RateLimitPolicy
from app.testing import CapturedLogs, FakeChatModel, FakeClock
from tests.llm.samples import REQUEST


@pytest.fixture
def model() -> FakeChatModel:
    return FakeChatModel("Hello!")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def limited(model: FakeChatModel, clock: FakeClock) -> Model:
    """One call, and the next a minute later; no call waits for longer than that."""
    policy = RateLimitPolicy(requests_per_minute=1, max_wait_s=60)
    return stacked(
        model,
        [RateLimited(LocalLimiter(policy, sleep=clock.sleep, clock=clock.monotonic))],
    )


async def complete(limited: Model) -> object:
    return await limited.complete(REQUEST)


async def stream(limited: Model) -> object:
    return [event async for event in limited.stream(REQUEST)]


async def embed(limited: Model) -> object:
    return await limited.embed(EmbeddingRequest(("text",)))


Call = Callable[[Model], Awaitable[object]]
each_call = pytest.mark.parametrize("call", [complete, stream, embed])


@each_call
async def test_every_kind_of_call_waits_for_its_turn(
    call: Call, limited: Model, clock: FakeClock
) -> None:
    assert await call(limited)
    assert clock.sleeps == []
    assert await call(limited)
    assert clock.sleeps == [60]


@each_call
async def test_without_room_nothing_is_sent(
    call: Call, limited: Model, model: FakeChatModel, clock: FakeClock
) -> None:
    await complete(limited)
    clock.now -= 5  # so that there is room in 65 s
    with pytest.raises(LimitReachedError, match="fake was not called") as raised:
        await call(limited)
    assert raised.value.retry_after_s == 65
    assert raised.value.provider == "fake"
    assert len(model.requests) == 1


async def test_a_wait_is_logged_and_no_wait_is_not(
    limited: Model, clock: FakeClock, logs: CapturedLogs
) -> None:
    await limited.complete(REQUEST)
    assert logs.events("llm.rate_limited") == []
    clock.now += 20
    await limited.complete(REQUEST)
    (line,) = logs.events("llm.rate_limited")
    assert line.items() >= {"level": "info", "provider": "fake", "waited_s": 40}.items()


async def test_a_refusal_is_logged(limited: Model, clock: FakeClock, logs: CapturedLogs) -> None:
    await limited.complete(REQUEST)
    clock.now -= 5
    with pytest.raises(LimitReachedError):
        await limited.complete(REQUEST)
    (line,) = logs.events("llm.limit_reached")
    assert line.items() >= {"level": "warning", "provider": "fake", "retry_after_s": 65}.items()


async def test_closing_closes_the_stream_below(limited: Model, model: FakeChatModel) -> None:
    events = limited.stream(REQUEST)
    await anext(events)
    assert model.open_streams == 1
    await events.aclose()
    assert model.open_streams == 0


@pytest.mark.parametrize("call", [complete, stream])
async def test_a_call_that_finds_no_connection_does_not_use_up_the_limit(
    call: Call, clock: FakeClock
) -> None:
    model = FakeChatModel(OverloadedError("full"), "Hello!")
    limiter = LocalLimiter(
        RateLimitPolicy(requests_per_minute=1), sleep=clock.sleep, clock=clock.monotonic
    )
    limited = stacked(model, [RateLimited(limiter)])
    with pytest.raises(OverloadedError):
        await call(limited)
    assert await call(limited)
    assert clock.sleeps == []
