"""What the guards tell whoever counts."""

import asyncio
from dataclasses import dataclass, field

import pytest

from app.cache.memory import MemoryCache
from app.errors import LimitReached, ProviderUnavailable
from app.llm.types import ChatRequest, Message
from app.llm.wrappers.cached import Cached
from app.llm.wrappers.circuit_breaking import CircuitBreaking
from app.llm.wrappers.fallback import Fallback
from app.llm.wrappers.hedged import Hedged
from app.llm.wrappers.meter import BreakerState, NotMetered
from app.llm.wrappers.rate_limited import RateLimited
from app.llm.wrappers.retrying import Retrying
from app.resilience.circuit_breaker import BreakerPolicy
from app.resilience.hedge import HedgePolicy
from app.resilience.rate_limit import LocalLimiter, RateLimitPolicy
from app.resilience.retry import RetryPolicy
from app.testing import FakeChatModel, FakeClock

REQUEST = ChatRequest(messages=(Message("user", "Hi"),))
BUSY = ProviderUnavailable("busy")


@dataclass
class Tally(NotMetered):
    """A meter that remembers."""

    heard: list[tuple[object, ...]] = field(default_factory=list)

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

    def breaker_state(self, provider: str, state: BreakerState) -> None:
        self.heard.append(("breaker_state", provider, state))


async def test_each_retry_is_counted() -> None:
    tally, clock = Tally(), FakeClock()
    model = FakeChatModel(BUSY, BUSY, "Hello!")
    retrying = Retrying(model, RetryPolicy(), meter=tally, sleep=clock.sleep, clock=clock.monotonic)
    await retrying.complete(REQUEST)
    await retrying.complete(REQUEST)
    assert tally.heard == [("retry", "fake")] * 2


async def test_each_lookup_is_a_hit_or_a_miss() -> None:
    tally = Tally()
    cached = Cached(FakeChatModel(), MemoryCache(), meter=tally)
    await cached.complete(REQUEST)
    _ = [event async for event in cached.stream(REQUEST)]
    assert tally.heard == [("cache", "fake", False), ("cache", "fake", True)]


async def test_each_provider_that_is_given_up_is_counted() -> None:
    tally = Tally()
    chain = Fallback(
        [FakeChatModel(BUSY, name="first"), FakeChatModel("Hello!", name="second")], meter=tally
    )
    await chain.complete(REQUEST)
    assert tally.heard == [("fallback", "first")]


async def test_waits_for_the_limit_and_its_refusals_are_counted() -> None:
    tally, clock = Tally(), FakeClock()
    policy = RateLimitPolicy(requests_per_minute=60, burst=1, max_wait_s=1)
    limiter = LocalLimiter(policy, sleep=clock.sleep, clock=clock.monotonic)
    limited = RateLimited(FakeChatModel("Hello!"), limiter, meter=tally)
    await limited.complete(REQUEST)
    await limited.complete(REQUEST)
    clock.now -= 0.5  # a third one, too early by half a second more than anybody waits
    with pytest.raises(LimitReached):
        await limited.complete(REQUEST)
    assert tally.heard == [("limiter_wait", "fake", 1.0), ("limiter_refused", "fake")]


async def test_the_state_of_a_circuit_is_told_from_the_beginning() -> None:
    tally = Tally()
    model = FakeChatModel(ProviderUnavailable("busy"))
    breaking = CircuitBreaking(model, BreakerPolicy(failures=1), meter=tally)
    with pytest.raises(ProviderUnavailable):
        await breaking.complete(REQUEST)
    states = ["closed", "open"]
    assert tally.heard == [("breaker_state", "fake", state) for state in states]


async def test_who_wins_a_race_is_counted() -> None:
    tally, never = Tally(), asyncio.Event()
    slow, quick = FakeChatModel([never.wait]), FakeChatModel("Hello!")
    policy = HedgePolicy(after_s=0.001, max_extra=1)
    hedged = Hedged(slow, policy, alternative=quick, meter=tally)
    assert (await hedged.complete(REQUEST)).content == "Hello!"
    assert tally.heard == [("hedge", "fake", True)]
