"""What the guards tell whoever counts."""

from dataclasses import dataclass, field

from app.cache.memory import MemoryCache
from app.errors import ProviderUnavailable
from app.llm.types import ChatRequest, Message
from app.llm.wrappers.cached import Cached
from app.llm.wrappers.fallback import Fallback
from app.llm.wrappers.retrying import Retrying
from app.resilience.retry import RetryPolicy
from app.testing import FakeChatModel, FakeClock

REQUEST = ChatRequest(messages=(Message("user", "Hi"),))
BUSY = ProviderUnavailable("busy")


@dataclass
class Tally:
    """A meter that remembers."""

    heard: list[tuple[object, ...]] = field(default_factory=list)

    def retry(self, provider: str) -> None:
        self.heard.append(("retry", provider))

    def fallback(self, provider: str) -> None:
        self.heard.append(("fallback", provider))

    def cache(self, provider: str, *, hit: bool) -> None:
        self.heard.append(("cache", provider, hit))


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
