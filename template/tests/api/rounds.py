"""Rounds of calls that fill the pool, through the whole service, to find leaks."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2

from app.configuration.providers import BUILT_IN
from app.llm.providers.anthropic.policy import AnthropicPolicy
from app.llm.providers.openai.policy import OpenAIPolicy
from app.resilience.circuit_breaker import BreakerPolicy
from app.resilience.rate_limit import RateLimitPolicy
from app.resilience.retry import RetryPolicy
from app.settings import Settings
from app.testing import CapturedLogs
from tests.llm.faults import EVENTS, JSON
from tests.llm.loopback import Reply, sends, whole
from tests.llm.samples import TEXT, Sample
from tests.running_service import QUESTION, events_of

CALLS = 25


def settings_for(
    base_url: str, *, request_timeout_s: float = 30.0, stream_chunk_timeout_s: float = 30.0
) -> Settings:
    """One attempt per call and no answers from memory: each call reaches the provider, once.

    The pool has one place per call, so that a single lost one is missed.
    """
    return Settings(
        llm_providers=tuple(BUILT_IN),
        openai=OpenAIPolicy(base_url, model="m"),
        anthropic=AnthropicPolicy(base_url, model="m"),
        max_concurrency=CALLS,
        request_timeout_s=request_timeout_s,
        stream_chunk_timeout_s=stream_chunk_timeout_s,
        rate_limit=RateLimitPolicy(requests_per_minute=1_000_000),
        breaker=BreakerPolicy(failures=1_000, failure_rate=1),
        retry=RetryPolicy(max_attempts=1),
        enable_caching=False,
    )


def body_for(sample: Sample, *, stream: bool) -> dict[str, object]:
    return {**QUESTION, "provider": sample.name, "stream": stream}


async def ask_a_round(
    http: httpx2.AsyncClient, sample: Sample, *, stream: bool
) -> list[httpx2.Response]:
    body = body_for(sample, stream=stream)
    return await asyncio.gather(*(http.post("/v1/chat", json=body) for _ in range(CALLS)))


def answers_full_rounds(sample: Sample, *, stream: bool) -> Reply:
    """Answer when all calls of a round have arrived: with a lost place in the pool this never happens."""
    answer = sends(whole(EVENTS, sample.stream) if stream else whole(JSON, sample.body))
    round_is_full = asyncio.Barrier(CALLS)

    async def reply(writer: asyncio.StreamWriter) -> None:
        await round_is_full.wait()
        await answer(writer)

    return reply


async def assert_serves_a_round(http: httpx2.AsyncClient, sample: Sample, *, stream: bool) -> None:
    for answer in await ask_a_round(http, sample, stream=stream):
        assert answer.status_code == 200, answer.text
        last = events_of(answer.text)[-1][1] if stream else answer.text
        assert json.loads(last)["content"] == TEXT


@asynccontextmanager
async def nothing_left_behind(logs: CapturedLogs) -> AsyncIterator[None]:
    """Check that no task and no open file remain, and that no unexpected error was logged."""
    tasks, files = asyncio.all_tasks(), open_files()
    yield
    assert asyncio.all_tasks() == tasks
    assert open_files() == files
    assert logs.events("http.failed") == []
    assert {line["outcome"] for line in logs.events("llm.call")}.isdisjoint({"unexpected"})


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))
