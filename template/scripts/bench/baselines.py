"""Compares the CPU time of the service with that of programs that do less.

All of them answer `POST /v1/chat` from the same upstream, which is a process of its own. They take
turns, and each turn is compared with the turn of the same round, so other load on the machine is in
both. Two processes of one program differ by some percent, so all are started several times.
"""

import asyncio
import os
import shutil
import statistics
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import httpx2

from scripts.bench.figure import Figure, ratio
from scripts.bench.telemetry import launched, running
from scripts.bench.upstream import EVENTS

STARTS = 3
ROUNDS = 6
WARM_UP = 2
CONCURRENCY = 4
REQUESTS = 80
SERVICE = "this service"
PROGRAMS: dict[str, tuple[str, ...]] = {
    "raw relay": ("scripts.bench.servers.relay",),
    "Starlette + aiohttp": ("scripts.bench.servers.plain",),
    "FastAPI + OpenAI SDK": ("scripts.bench.servers.openai_sdk",),
    SERVICE: ("scripts.bench.service", "with"),
}

LITELLM = "LiteLLM proxy"
_LITELLM_START_S = 300.0  # it imports for ten seconds where nothing else runs

Costs = Mapping[str, list[float]]  # of each program: the CPU µs of each round
Turn = Callable[[httpx2.AsyncClient, str, str], Awaitable[int]]


def service_and_baselines() -> Iterator[Figure]:
    turns = {"a request": _requests, "a streamed chunk": _streams}
    names = [*PROGRAMS, *([LITELLM] if litellm_python() else [])]
    costs: dict[str, Costs] = {what: {name: [] for name in names} for what in turns}
    with running("scripts.bench.upstream") as upstream:
        for _ in range(STARTS):
            with ExitStack() as stack:
                addresses = {name: stack.enter_context(started(name, upstream)) for name in names}
                asyncio.run(_rounds(addresses, turns, costs))
    for what in turns:
        yield from _figures(what, costs[what])


def started(name: str, upstream: str) -> AbstractContextManager[str]:
    """The program in the background; its address."""
    python = litellm_python()
    if name != LITELLM or python is None:
        return running(*PROGRAMS[name], mock=upstream)
    command = [python, "-m", "scripts.bench.servers.litellm_proxy"]
    return launched(command, upstream, {}, _LITELLM_START_S)


def litellm_python() -> str | None:
    """The Python of LiteLLM, if `LITELLM` or the path has its program (docs/gateways.md)."""
    program = shutil.which(os.environ.get("LITELLM", "litellm"))
    return None if program is None else str(Path(program).with_name("python"))


async def _rounds(
    addresses: Mapping[str, str], turns: Mapping[str, Turn], costs: Mapping[str, Costs]
) -> None:
    order = list(addresses)
    # The programs close a connection that is idle for five seconds, which a turn of LiteLLM may take.
    limits = httpx2.Limits(keepalive_expiry=1)
    # All are on this machine, and a proxy cannot reach them.
    async with httpx2.AsyncClient(timeout=60, trust_env=False, limits=limits) as client:
        for number in range(WARM_UP + ROUNDS):
            order.reverse()  # the first one finds other CPU caches than the second one
            for what, turn in turns.items():
                for name in order:
                    before_s = await _cpu_s(client, addresses[name])
                    pieces = await turn(client, addresses[name], f"{what} {number}")
                    taken_s = await _cpu_s(client, addresses[name]) - before_s
                    if number >= WARM_UP:
                        costs[what][name].append(taken_s / pieces * 1e6)


async def _requests(client: httpx2.AsyncClient, server: str, label: str) -> int:
    questions = iter([f"{label}.{index}" for index in range(REQUESTS)])

    async def ask() -> None:
        for question in questions:  # all different, so that none is answered from the cache
            (await client.post(f"{server}/v1/chat", json=_body(question))).raise_for_status()

    await asyncio.gather(*(ask() for _ in range(CONCURRENCY)))
    return REQUESTS


async def _streams(client: httpx2.AsyncClient, server: str, label: str) -> int:
    async def read(question: str) -> None:
        body = _body(question) | {"stream": True}
        async with client.stream("POST", f"{server}/v1/chat", json=body) as response:
            response.raise_for_status()
            async for _ in response.aiter_raw():
                pass

    await asyncio.gather(*(read(f"{label}.{index}") for index in range(CONCURRENCY)))
    return CONCURRENCY * EVENTS


def _body(question: str) -> dict[str, object]:
    return {"messages": [{"role": "user", "content": question}]}


async def _cpu_s(client: httpx2.AsyncClient, server: str) -> float:
    return float((await client.get(f"{server}/_cpu")).text)


def _figures(what: str, costs: Costs) -> Iterator[Figure]:
    for name in costs:
        yield Figure(f"{what}, {name}", statistics.median(costs[name]), "µs")
    for name in costs:
        if name != SERVICE:
            yield ratio(f"{what}, {SERVICE} : {name}", costs[SERVICE], costs[name])
    if LITELLM in costs:
        yield ratio(f"{what}, {LITELLM} : {SERVICE}", costs[LITELLM], costs[SERVICE])
