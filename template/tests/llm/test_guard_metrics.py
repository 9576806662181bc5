"""The numbers that the guards report."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from app.cache import MemoryCache
from app.errors import LimitReachedError, ProviderUnavailableError
from app.llm.fallback import Fallback
from app.llm.guard_metrics import NullGuardMetrics
from app.llm.guards.cached import Cached
from app.llm.guards.circuit_breaking import CircuitBreaking
from app.llm.guards.deduplicated import Deduplicated
from app.llm.guards.guard import stacked
from app.llm.guards.hedged import Hedged
from app.llm.guards.rate_limited import RateLimited
from app.llm.guards.retrying import Retrying
from app.llm.types import ChatRequest, Message
from app.resilience.circuit_breaker import BreakerPolicy, CircuitState
from app.resilience.hedge import HedgePolicy
from app.resilience.rate_limit import LocalLimiter, RateLimitPolicy
from app.resilience.retry import RetryPolicy
from app.testing import FakeChatModel, FakeClock

REQUEST = ChatRequest(messages=(Message("user", "Hi"),))
BUSY = ProviderUnavailableError("busy")


@dataclass
class Tally(NullGuardMetrics):
    """A meter that remembers."""

    heard: list[tuple[object, ...]] = field(default_factory=list)
    breakers: dict[str, Callable[[], CircuitState]] = field(default_factory=dict)

    def retry(self, provider: str) -> None:
        self.heard.append(("retry", provider))

    def fallback(self, provider: str) -> None:
        self.heard.append(("fallback", provider))

    def cache(self, provider: str, *, hit: bool) -> None:
        self.heard.append(("cache", provider, hit))

    def hedge(self, provider: str, *, won: bool) -> None:
        self.heard.append(("hedge", provider, won))

    def limiter_wait(self, provider: str, seconds: float) -> None:
        self.heard.append(("limiter_wait", provider, seconds))

    def limiter_refused(self, provider: str) -> None:
        self.heard.append(("limiter_refused", provider))

    def shared(self, *, stream: bool) -> None:
        self.heard.append(("shared", stream))

    def breaker(self, provider: str, state: Callable[[], CircuitState]) -> None:
        self.breakers[provider] = state


async def test_each_retry_is_counted() -> None:
    tally, clock = Tally(), FakeClock()
    model = FakeChatModel(BUSY, BUSY, "Hello!")
    retrying = stacked(
        model,
        [Retrying(RetryPolicy(), metrics=tally, sleep=clock.sleep, clock=clock.monotonic)],
    )
    await retrying.complete(REQUEST)
    await retrying.complete(REQUEST)
    assert tally.heard == [("retry", "fake")] * 2


async def test_each_lookup_is_a_hit_or_a_miss() -> None:
    tally = Tally()
    cached = stacked(FakeChatModel(), [Cached(MemoryCache(), metrics=tally)])
    await cached.complete(REQUEST)
    _ = [event async for event in cached.stream(REQUEST)]
    assert tally.heard == [("cache", "fake", False), ("cache", "fake", True)]


async def test_each_provider_that_is_given_up_is_counted() -> None:
    tally = Tally()
    chain = Fallback(
        [FakeChatModel(BUSY, name="first"), FakeChatModel("Hello!", name="second")], metrics=tally
    )
    await chain.complete(REQUEST)
    assert tally.heard == [("fallback", "first")]


async def test_waits_for_the_limit_and_its_refusals_are_counted() -> None:
    tally, clock = Tally(), FakeClock()
    policy = RateLimitPolicy(requests_per_minute=60, burst=1, max_wait_s=1)
    limiter = LocalLimiter(policy, sleep=clock.sleep, clock=clock.monotonic)
    limited = stacked(FakeChatModel("Hello!"), [RateLimited(limiter, metrics=tally)])
    await limited.complete(REQUEST)
    await limited.complete(REQUEST)
    clock.now -= 0.5  # a third one, too early by half a second more than the longest wait
    with pytest.raises(LimitReachedError):
        await limited.complete(REQUEST)
    assert tally.heard == [("limiter_wait", "fake", 1.0), ("limiter_refused", "fake")]


async def test_the_state_of_a_circuit_follows_time_without_a_call() -> None:
    tally = Tally()
    model = FakeChatModel(ProviderUnavailableError("busy"))
    policy, clock = BreakerPolicy(failures=1, reset_s=30), FakeClock()
    breaking = stacked(model, [CircuitBreaking(policy, metrics=tally, clock=clock.monotonic)])
    state = tally.breakers["fake"]
    states = [state()]
    with pytest.raises(ProviderUnavailableError):
        await breaking.complete(REQUEST)
    states.append(state())
    clock.now += 30
    assert [*states, state()] == ["closed", "open", "half_open"]


async def test_a_question_that_joins_an_equal_one_is_counted() -> None:
    tally, answer = Tally(), asyncio.Event()
    shared = stacked(FakeChatModel([answer.wait, "Hello!"]), [Deduplicated(metrics=tally)])
    calls = [asyncio.create_task(shared.complete(REQUEST)) for _ in range(3)]
    await asyncio.sleep(0)
    answer.set()
    await asyncio.gather(*calls)
    assert tally.heard == [("shared", False)] * 2


async def test_the_winner_of_a_hedge_is_counted() -> None:
    tally, never = Tally(), asyncio.Event()
    slow, quick = FakeChatModel([never.wait]), FakeChatModel("Hello!")
    policy = HedgePolicy(after_s=0.001, max_extra=1)
    hedged = stacked(slow, [Hedged(policy, alternative=quick, metrics=tally)])
    assert (await hedged.complete(REQUEST)).content == "Hello!"
    assert tally.heard == [("hedge", "fake", True)]
