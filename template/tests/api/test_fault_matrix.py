"""Every fault of the wire, both providers, whole and streamed, many at a time, through the service.

Whatever happens out there, a caller gets a problem that is the provider's and not ours, and nothing
stays behind: no place in the pool, no task, no open file.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from app.errors import ConnectionFailed, TimedOut
from app.llm.providers.policy import ProviderPolicy
from app.main import create_app
from app.resilience.retry import RetryPolicy
from app.settings import Settings
from app.testing import CapturedLogs
from tests.door import QUESTION, events_of
from tests.llm.faults import EVENTS, FAULTS, JSON, Fault, Kind
from tests.llm.loopback import Loopback, Reply, loopback, sends, whole
from tests.llm.samples import SAMPLES, TEXT, Sample

pytestmark = pytest.mark.slow

CALLS = 25
HURRY_S = 1.0  # less than what any fault hangs for


def settings_for(base_url: str, expected: Kind) -> Settings:
    """One attempt per call, no answers from memory: each call meets the fault, and meets it once.

    The pool has one place per call, so that a single lost one is missed.
    """
    limit_s = HURRY_S if expected is TimedOut else 30.0
    return Settings(
        openai=ProviderPolicy(base_url, model="m"),
        anthropic=ProviderPolicy(base_url, model="m"),
        max_concurrency=CALLS,
        request_timeout_s=limit_s,
        stream_chunk_timeout_s=limit_s,
        retry=RetryPolicy(max_attempts=1),
        enable_caching=False,
    )


@asynccontextmanager
async def door_to(base_url: str, expected: Kind) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(settings_for(base_url, expected))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        yield http


async def ask_often(
    http: httpx2.AsyncClient, sample: Sample, *, stream: bool
) -> list[httpx2.Response]:
    body = {**QUESTION, "provider": sample.name, "stream": stream}
    return await asyncio.gather(*(http.post("/v1/chat", json=body) for _ in range(CALLS)))


def healthy(sample: Sample, *, stream: bool) -> Reply:
    """Answers when all of a round are there: a place that is not given back is waited for in vain."""
    content = whole(EVENTS, sample.stream) if stream else whole(JSON, sample.body)
    round_is_full = asyncio.Barrier(CALLS)

    async def reply(writer: asyncio.StreamWriter) -> None:
        await round_is_full.wait()
        await sends(content)(writer)

    return reply


def assert_blames_the_provider(answer: httpx2.Response, expected: Kind) -> None:
    if answer.status_code == 200:
        *deltas, (last, data) = events_of(answer.text)
        problem = json.loads(data)
        assert last == "error"
        assert problem["text"] == "".join(json.loads(delta)["text"] for _, delta in deltas)
        assert problem["text"]
        assert TEXT.startswith(problem["text"])
    else:
        problem = answer.json()
        assert problem["status"] == answer.status_code
    assert problem["status"] == (504 if expected is TimedOut else 502)


async def assert_serves(http: httpx2.AsyncClient, sample: Sample, *, stream: bool) -> None:
    for answer in await ask_often(http, sample, stream=stream):
        assert answer.status_code == 200, answer.text
        last = events_of(answer.text)[-1][1] if stream else answer.text
        assert json.loads(last)["content"] == TEXT


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


@asynccontextmanager
async def nothing_left_behind(logs: CapturedLogs) -> AsyncIterator[None]:
    tasks, files = asyncio.all_tasks(), open_files()
    yield
    assert asyncio.all_tasks() == tasks
    assert open_files() == files
    assert logs.events("http.failed") == []
    assert {line["outcome"] for line in logs.events("llm.call")}.isdisjoint({"unexpected"})


async def meet(server: Loopback, fault: Fault, sample: Sample, *, stream: bool) -> None:
    expected = fault.stream if stream else fault.complete
    async with door_to(server.base_url, expected) as http:
        for answer in await ask_often(http, sample, stream=stream):
            assert_blames_the_provider(answer, expected)
        assert len(server.requests) == CALLS
        server.reply = healthy(sample, stream=stream)
        await assert_serves(http, sample, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_of_the_wire_is_a_problem_of_the_providers_and_leaves_nothing_behind(
    fault: Fault, sample: Sample, logs: CapturedLogs, *, stream: bool
) -> None:
    body, content_type = (sample.stream, EVENTS) if stream else (sample.body, JSON)
    async with nothing_left_behind(logs), loopback(fault.reply(body, content_type)) as server:
        await meet(server, fault, sample, stream=stream)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
async def test_a_provider_that_is_not_there_leaves_nothing_behind_either(
    sample: Sample, logs: CapturedLogs, unused_tcp_port: int, *, stream: bool
) -> None:
    base_url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    async with nothing_left_behind(logs), door_to(base_url, ConnectionFailed) as http:
        for answer in await ask_often(http, sample, stream=stream):
            assert_blames_the_provider(answer, ConnectionFailed)
        async with loopback(healthy(sample, stream=stream), unused_tcp_port):
            await assert_serves(http, sample, stream=stream)
