"""The process at five times its capacity: `docs/overload.md`.

The capacity is small (four calls a second), so that the test measures the queues and not the CPU. Times
are compared with those of the same process without load, because they depend on the machine.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import aiohttp
import httpx2
import pytest

from mock_api.testing import running_server
from tests.running_service import QUESTION
from tests.test_main import PATIENCE_S, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4 * PATIENCE_S)]

CONNECTIONS = 4
QUEUE = 2
LATENCY_S = 1.0
CAPACITY = CONNECTIONS / LATENCY_S  # calls a second
LOAD_S = 4.0


class Seen(NamedTuple):
    """An answer as its caller sees it."""

    status: int
    retry_after: str | None
    duration_s: float


class Load:
    """Callers of one service, with as many connections as they have requests."""

    def __init__(self, http: aiohttp.ClientSession, mock: str, pid: int) -> None:
        self._http = http
        self._mock = mock
        self._pid = pid

    def latency(self, seconds: float) -> None:
        """Set the time that the provider takes for an answer."""
        httpx2.put(f"{self._mock}/_mock/faults", json={"latency_ms": seconds * 1000})

    def cpu_s(self) -> float:
        """The CPU time of the service's event loop so far."""
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0]) / 1e9

    async def ask(self, tenant: str) -> Seen:
        started = time.perf_counter()
        headers = {"X-Tenant-ID": tenant}
        async with self._http.post("/v1/chat", json=QUESTION, headers=headers) as answer:
            await answer.read()
        duration_s = time.perf_counter() - started
        return Seen(answer.status, answer.headers.get("retry-after"), duration_s)

    async def offer(self, tenant: str, per_second: float, seconds: float) -> list[Seen]:
        """Send requests at a fixed rate, whether earlier ones are answered or not."""
        loop = asyncio.get_running_loop()
        started, calls = loop.time(), []
        for number in range(int(per_second * seconds)):
            await asyncio.sleep(max(0.0, started + number / per_second - loop.time()))
            calls.append(asyncio.create_task(self.ask(tenant)))
        return await asyncio.gather(*calls)

    async def one_by_one(self, tenant: str, number: int) -> list[Seen]:
        return [await self.ask(tenant) for _ in range(number)]


@pytest.fixture
async def load(unused_tcp_port: int) -> AsyncIterator[Load]:
    port = str(unused_tcp_port)
    async with AsyncExitStack() as stack:
        mock = stack.enter_context(running_server())
        process = running(
            PORT=port,
            LLM_PROVIDERS="openai",
            OPENAI_BASE_URL=f"{mock}/v1",
            MAX_CONCURRENCY=str(CONNECTIONS),
            ENABLE_CACHING="false",
            RATE_LIMIT_REQUESTS_PER_MINUTE="1000000",
            LOG_LEVEL="ERROR",  # the log of the process is not read
        )
        pid = stack.enter_context(process).pid
        session = aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=0)
        )
        http = await stack.enter_async_context(session)
        await started(http)
        load = Load(http, mock, pid)
        load.latency(LATENCY_S)
        yield load


async def started(http: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                async with http.get("/healthz"):
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


def with_status(seen: list[Seen], status: int) -> list[Seen]:
    return [each for each in seen if each.status == status]


def typical_s(seen: list[Seen]) -> float:
    return median([each.duration_s for each in seen])


async def test_overload_is_shed_at_once_and_slows_down_neither_the_rest_nor_a_modest_client(
    load: Load,
) -> None:
    await load.ask("warm-up")
    usual_s = typical_s(await load.one_by_one("modest", 2))

    overload = asyncio.create_task(load.offer("greedy", 5 * CAPACITY, LOAD_S))
    await asyncio.sleep(2 * LATENCY_S / 5)  # twice the time in which all connections become busy
    modest = await load.one_by_one("modest", 3)
    greedy = await overload
    ended = time.perf_counter()
    after = await load.ask("greedy")

    answered, shed = with_status(greedy, 200), with_status(greedy, 503)
    assert len(answered) + len(shed) == len(greedy)
    assert len(answered) >= 0.6 * (CAPACITY * LOAD_S - len(modest))  # the connections are in use
    assert len(shed) >= 0.6 * len(greedy)
    assert typical_s(answered) < 2 * usual_s
    assert typical_s(shed) < usual_s / 10
    assert sorted(each.duration_s for each in shed)[int(0.95 * len(shed))] < usual_s / 2
    assert {each.retry_after for each in shed} <= {"1", "2", "3", "4", "5"}

    assert [each.status for each in modest] == [200] * len(modest)
    assert typical_s(modest) < 2 * usual_s

    assert after.status == 200
    assert after.duration_s < 2 * usual_s
    assert time.perf_counter() - ended < 5


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="reads the CPU time there")
async def test_a_refusal_takes_less_than_half_of_the_cpu_time_of_an_answer(load: Load) -> None:
    load.latency(0)
    await load.one_by_one("warm-up", 10)
    used_s, calm = load.cpu_s(), await load.one_by_one("calm", 100)
    answer_s = (load.cpu_s() - used_s) / len(calm)

    load.latency(PATIENCE_S)
    stuck = [asyncio.create_task(load.ask("greedy")) for _ in range(CONNECTIONS + QUEUE)]
    await asyncio.sleep(0.5)
    await load.ask("greedy")
    used_s, shed = load.cpu_s(), await load.one_by_one("greedy", 200)
    refusal_s = (load.cpu_s() - used_s) / len(shed)
    for task in stuck:
        task.cancel()

    assert {each.status for each in calm} == {200}
    assert {each.status for each in shed} == {503}
    assert refusal_s < answer_s / 2
    assert typical_s(shed) < 2 * typical_s(calm)
