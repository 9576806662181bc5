"""Rounds of as many calls as the pool has places, through the whole service, to see what is left behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import get_args

import httpx2

from app.llm.providers.openai.policy import OpenAIPolicy
from app.llm.providers.policy import ProviderPolicy
from app.resilience.circuit_breaker import BreakerPolicy
from app.resilience.rate_limit import RateLimitPolicy
from app.resilience.retry import RetryPolicy
from app.settings import ProviderName, Settings
from app.testing import CapturedLogs
from tests.door import QUESTION, events_of
from tests.llm.faults import EVENTS, JSON
from tests.llm.loopback import Reply, sends, whole
from tests.llm.samples import TEXT, Sample

CALLS = 25


def settings_for(
    base_url: str, *, request_timeout_s: float = 30.0, stream_chunk_timeout_s: float = 30.0
) -> Settings:
    """One attempt per call and no answers from memory: each call reaches the provider, once.

    The pool has one place per call, so that a single lost one is missed.
    """
    return Settings(
        llm_providers=get_args(ProviderName),
        openai=OpenAIPolicy(base_url, model="m"),
        anthropic=ProviderPolicy(base_url, model="m"),
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
    """Answer when all calls of a round are there: a place that was lost is waited for in vain."""
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
    """No task, no open file, and no error that nobody expected."""
    tasks, files = asyncio.all_tasks(), open_files()
    yield
    assert asyncio.all_tasks() == tasks
    assert open_files() == files
    assert logs.events("http.failed") == []
    assert {line["outcome"] for line in logs.events("llm.call")}.isdisjoint({"unexpected"})


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))
