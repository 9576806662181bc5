"""Measures how the cost of a request grows: with the requests at a time, and with the requests so far.

Each request has another question, so nothing is answered from the cache, and the cache is full (10,000
answers) before the memory is measured for the first time.
"""

import asyncio
from collections.abc import Iterator

import aiohttp
import orjson

from scripts.bench.figure import Figure, ratio
from scripts.bench.telemetry import running

AT_A_TIME = (1, 50, 500)
ROUNDS = 6
REQUESTS = 1000  # per round and number at a time
FILLING = 12_000
MORE = 30_000
_LIMIT_CPU = 1.3
_LIMIT_MEMORY = 1.05


def what_more_requests_cost() -> Iterator[Figure]:
    # The queue is as long as the largest number at a time: shed requests would cost less.
    room = {"MAX_CONCURRENCY": "500", "QUEUE_LENGTH": "500"}
    with (
        running("scripts.bench.upstream") as upstream,
        running("scripts.bench.service", "with", mock=upstream, **room) as service,
    ):
        yield from asyncio.run(_measured(service))


async def _measured(service: str) -> list[Figure]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(service, connector=connector) as client:
        await _ask(client, "fill", FILLING, AT_A_TIME[-1])
        before = await _fact(client, "memory")
        costs: dict[int, list[float]] = {many: [] for many in AT_A_TIME}
        for number in range(ROUNDS):
            for many in AT_A_TIME:
                costs[many].append(await _cpu_us(client, f"{number} {many}", many))
        await _ask(client, "more", MORE - ROUNDS * REQUESTS * len(AT_A_TIME), AT_A_TIME[-1])
        grown = await _fact(client, "memory") / before
    figures = [
        ratio(
            f"CPU of a request: {many} at a time : 1 at a time", costs[many], costs[1], _LIMIT_CPU
        )
        for many in AT_A_TIME[1:]
    ]
    name = f"largest memory: {FILLING + MORE:,} requests : {FILLING:,}"
    return [*figures, Figure(name, grown, "x", _LIMIT_MEMORY)]


async def _cpu_us(client: aiohttp.ClientSession, label: str, at_a_time: int) -> float:
    await _ask(client, f"warm {label}", at_a_time, at_a_time)  # opens the connections
    before = await _fact(client, "cpu")
    await _ask(client, label, REQUESTS, at_a_time)
    return (await _fact(client, "cpu") - before) / REQUESTS * 1e6


async def _ask(client: aiohttp.ClientSession, label: str, count: int, at_a_time: int) -> None:
    questions = iter([f"{label} {index}" for index in range(count)])

    async def ask() -> None:
        for question in questions:
            body = orjson.dumps({"messages": [{"role": "user", "content": question}]})
            async with client.post("/v1/chat", data=body, headers=_JSON) as answer:
                answer.raise_for_status()
                await answer.read()

    await asyncio.gather(*(ask() for _ in range(at_a_time)))


async def _fact(client: aiohttp.ClientSession, name: str) -> float:
    async with client.get(f"/_{name}") as answer:
        return float(await answer.text())


_JSON = {"Content-Type": "application/json"}
