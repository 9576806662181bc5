"""What each use of a shared thing costs: round trips and bytes, counted with the real code for Redis.

`docs/scale.md` has these numbers; a test compares them.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from app.clients.ledger import Hold, Use
from app.clients.policy import ClientLimits
from app.redis.backend import RedisBackend
from app.redis.client import SharedRedis
from app.resilience.rate_limit import RateLimitPolicy
from scripts.simulate.fleet import Fleet, running
from scripts.simulate.play import counted_events, in_virtual_time
from scripts.simulate.provider import Provider
from scripts.simulate.redis_server import RedisClient, RedisServer, ServerPolicy
from scripts.simulate.wire import Traffic

Used = Callable[[], Awaitable[object]]

_ANSWER = b"x" * 1000
_ALL_LIMITS = ClientLimits(
    requests_per_minute=1_000_000,
    tokens_per_minute=1_000_000_000,
    concurrency=10_000,
    budget_usd_per_day=1_000_000.0,
)
_CHAT: Mapping[str, Mapping[str, str]] = {
    "a chat request": {},
    "a chat request, with `RATE_LIMIT_TOKENS_PER_MINUTE`": {
        "RATE_LIMIT_TOKENS_PER_MINUTE": "1000000"
    },
    "a chat request, of a client with limits": {
        "CLIENT_REQUESTS_PER_MINUTE": "1000",
        "CLIENT_TOKENS_PER_MINUTE": "1000000",
        "CLIENT_CONCURRENCY": "100",
        "CLIENT_BUDGET_USD_PER_DAY": "100",
    },
}


@dataclass(frozen=True, slots=True)
class Cost:
    name: str
    round_trips: int
    sent_bytes: int
    received_bytes: int

    @property
    def row(self) -> str:
        return f"| {self.name} | {self.round_trips} | {self.sent_bytes} | {self.received_bytes} |"


def costs() -> list[Cost]:
    """Of each use, and of whole requests."""
    with counted_events():
        return in_virtual_time(_costs)


async def _costs() -> list[Cost]:
    server = RedisServer(ServerPolicy())
    async with aclosing(SharedRedis(RedisClient(server))) as redis:
        found = [await _cost(server.traffic, name, use) for name, use in uses(redis)]
    return found + [cost async for cost in _chat_costs()]


async def _cost(traffic: Traffic, name: str, use: Used) -> Cost:
    await use()  # loads the script, and opens the connection
    before = Traffic(traffic.round_trips, traffic.sent_bytes, traffic.received_bytes)
    await use()
    return Cost(
        name,
        traffic.round_trips - before.round_trips,
        traffic.sent_bytes - before.sent_bytes,
        traffic.received_bytes - before.received_bytes,
    )


def uses(redis: SharedRedis) -> Iterator[tuple[str, Used]]:
    """Each use may be repeated, and costs the same."""
    backend = RedisBackend(redis)
    yield from _cache_uses(backend)
    yield from _limit_uses(backend)
    yield from _circuit_uses(backend)
    yield from _client_uses(backend)
    yield "`/readyz`, and each second of an outage", redis.check


def _cache_uses(backend: RedisBackend) -> Iterator[tuple[str, Used]]:
    cache, key = backend.cache(), f"chat:{'0' * 64}"
    yield "a lookup in the cache, without an answer", lambda: cache.get("chat:" + "1" * 64)
    yield "an answer of 1,000 bytes that is stored", lambda: cache.set(key, _ANSWER, 86400)
    yield "a lookup that finds it", lambda: cache.get(key)


def _limit_uses(backend: RedisBackend) -> Iterator[tuple[str, Used]]:
    calls = RateLimitPolicy(requests_per_minute=100_000)
    tokens = RateLimitPolicy(requests_per_minute=100_000, tokens_per_minute=1_000_000)
    address = "https://api.openai.com/v1"
    limiter = backend.limiter(calls, "openai", address)
    with_tokens = backend.limiter(tokens, "openai", address)
    yield "a turn of the rate limit", limiter.acquire
    yield "a turn that is given back", limiter.cancel
    yield "a turn with tokens", lambda: with_tokens.acquire(300)
    yield "tokens that were not used", lambda: with_tokens.give_back(100)


def _circuit_uses(backend: RedisBackend) -> Iterator[tuple[str, Used]]:
    circuit = backend.circuit("openai", "https://api.openai.com/v1")
    yield "a failed call, while the circuit is closed", circuit.remote_open_s
    yield "a circuit that opens", lambda: circuit.opened(30)


def _client_uses(backend: RedisBackend) -> Iterator[tuple[str, Used]]:
    ledger = backend.ledger()
    holds: list[Hold] = []

    async def begin() -> None:
        holds.append(Hold("acme", _ALL_LIMITS, Use(300, 100_000)))
        await ledger.open(holds[-1])

    async def end() -> None:
        await ledger.settle(holds.pop(), Use(200, 50_000))

    yield "a request of a client with all limits, at its beginning", begin
    yield "and at its end", end


async def _chat_costs() -> AsyncIterator[Cost]:
    for name, settings in _CHAT.items():
        server = RedisServer(ServerPolicy())
        many = {"RATE_LIMIT_REQUESTS_PER_MINUTE": "100000", **settings}
        async with running(1, many, server, Provider()) as fleet:
            questions = iter(range(10))

            async def ask(questions: Iterator[int] = questions, fleet: Fleet = fleet) -> None:
                await fleet.ask(0, f"What is {next(questions)}?", "acme")

            yield await _cost(server.traffic, name, ask)
            if not settings:

                async def again(fleet: Fleet = fleet) -> None:
                    await fleet.ask(0, "What is 0?", "acme")

                yield await _cost(server.traffic, f"{name}, from the cache", again)
