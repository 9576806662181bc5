"""Measures the CPU time of a call to a provider, and of a streamed chunk, with each transport.

Both transports call the same upstream, which is a process of its own, in short turns, so that other load
on the machine affects both. Each turn is compared with the turn next to it; the median of these ratios
counts, and the figures beside it are the ratios that half of the turns lie between.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from functools import partial

import uvloop

from app.llm.exchange import Exchange
from app.llm.http import HTTPPolicy, ProviderHTTP, open_connections
from app.llm.transports.pool import TransportName
from scripts.bench.figure import Figure, ratio
from scripts.bench.telemetry import running
from scripts.bench.upstream import EVENTS

ROUNDS = 9
CONCURRENCY = (1, 50, 200, 500)
CALLS = 200
STREAMS = 20
LIMIT = 0.8
_QUESTION = {
    "model": "m",
    "messages": [{"role": "user", "content": "Where is the Zugspitze? " * 9}],
}
_NAMES: tuple[TransportName, ...] = ("aiohttp", "httpx2")

Turn = Callable[[ProviderHTTP], Awaitable[None]]


def aiohttp_and_httpx2() -> Iterator[Figure]:
    with running("scripts.bench.upstream") as upstream:
        for size in CONCURRENCY:
            calls = max(CALLS, 2 * size)
            costs = uvloop.run(_turns(upstream, size, partial(_calls, size, calls)))
            yield from _figures(f"a call, {size} at a time", costs, calls)
        costs = uvloop.run(_turns(upstream, STREAMS, _streams))
        yield from _figures("a streamed chunk", costs, STREAMS * EVENTS)


async def _turns(upstream: str, size: int, turn: Turn) -> dict[TransportName, list[float]]:
    """The CPU seconds of each turn. The first turn of each opens the connections, and is left out."""
    seconds: dict[TransportName, list[float]] = {name: [] for name in _NAMES}
    for number in range(1 + ROUNDS):
        for name in _NAMES if number % 2 else reversed(_NAMES):
            policy = HTTPPolicy(max_concurrency=size, transport=name)
            async with open_connections(policy) as connections:
                http = connections.to("openai", upstream, {}, lambda _: None)
                await turn(http)
                started = time.process_time()
                await turn(http)
                seconds[name].append(time.process_time() - started)
    return {name: turns[1:] for name, turns in seconds.items()}


async def _calls(size: int, calls: int, http: ProviderHTTP) -> None:
    numbers = iter(range(calls))

    async def one_after_another() -> None:
        for _ in numbers:
            with Exchange() as exchange:
                await http.post_json("/whole", _QUESTION, exchange)

    await asyncio.gather(*(one_after_another() for _ in range(size)))


async def _streams(http: ProviderHTTP) -> None:
    async def read() -> None:
        with Exchange(progress=lambda: 1) as exchange:
            async with aclosing(http.stream_events("/stream", _QUESTION, exchange)) as events:
                async for _ in events:
                    pass

    await asyncio.gather(*(read() for _ in range(STREAMS)))


def _figures(what: str, costs: dict[TransportName, list[float]], pieces: int) -> Iterator[Figure]:
    for name in _NAMES:
        yield Figure(f"{what}, {name}", statistics.median(costs[name]) / pieces * 1e6, "µs")
    fast, slow = (costs[name] for name in _NAMES)
    yield ratio(f"{what}, ratio", fast, slow, limit=LIMIT)
