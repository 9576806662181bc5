"""Five hundred requests over every kind of failure, with secrets that are easy to recognise."""

from collections import Counter
from collections.abc import AsyncIterator
from itertools import cycle
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr

from app.llm.providers.anthropic.policy import AnthropicPolicy
from app.llm.providers.openai.policy import OpenAIPolicy
from app.main import create_app
from app.resilience.circuit_breaker import BreakerPolicy
from app.resilience.rate_limit import RateLimitPolicy
from app.resilience.retry import RetryPolicy
from app.settings import Settings
from app.testing import CapturedLogs
from mock_api.application import create_app as create_mock
from tests.running_service import QUESTION, STREAMED
from tests.telemetry.spans import Spans

REQUESTS = 500
OPENAI_KEY = "sk-proj-canary-0123456789abcdef"
ANTHROPIC_KEY = "sk-ant-api03-canary-0123456789abcdef"
REDIS_URL = "redis://user:canary-password@127.0.0.1:1/0"

FAULTS: list[dict[str, Any]] = [
    *({"status": status} for status in (400, 401, 402, 403, 404, 408, 409, 413, 422, 429)),
    *({"status": status} for status in (500, 502, 503, 504, 529)),
    {"retry_after": 0.01},
    {"retry_after": 3600},
    {"malformed": True},
    {"drop_after_chunks": 1},
    {"stall_after_chunks": 1},
    {"status": 503, "rate": 0.5},
    {},
]
TOO_LARGE = {"messages": [{"role": "user", "content": "x" * 100_001}]}
BODIES: list[dict[str, Any]] = [
    QUESTION,
    STREAMED,
    {**QUESTION, "provider": "openai"},
    {**STREAMED, "provider": "anthropic"},
    {**QUESTION, "provider": "anthropic", "temperature": 1.5},
    {**QUESTION, "provider": "skynet"},
    {**QUESTION, "model": "unknown"},
    {"messages": []},
    TOO_LARGE,
]


class Careless(httpx2.AsyncBaseTransport):
    """A provider that repeats its request: every seventh answer holds the headers sent."""

    def __init__(self) -> None:
        self.keys: Counter[str] = Counter()
        self._mock = httpx2.ASGITransport(create_mock())
        self._turns = cycle(["mock"] * 5 + ["echo", "lost"])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        said = str(request.headers.raw)
        if request.url.path.startswith("/_mock"):
            return await self._mock.handle_async_request(request)
        self.keys.update(key for key in (OPENAI_KEY, ANTHROPIC_KEY) if key in said)
        turn = next(self._turns)
        if turn == "lost":
            raise httpx2.ConnectError(f"cannot send {said} to {request.url}", request=request)
        if turn == "echo":
            error = {"type": "error", "error": {"type": "invalid_request_error", "message": said}}
            return httpx2.Response(400, json=error)
        return await self._mock.handle_async_request(request)


@pytest.fixture
def world() -> Careless:
    return Careless()


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def careful() -> Settings:
    return Settings(
        openai=OpenAIPolicy("http://mock/v1", "m", SecretStr(OPENAI_KEY)),
        anthropic=AnthropicPolicy("http://mock", "m", SecretStr(ANTHROPIC_KEY)),
        redis_url=SecretStr(REDIS_URL),
        rate_limit=RateLimitPolicy(requests_per_minute=1_000_000),
        breaker=BreakerPolicy(failures=1_000, failure_rate=1),
        retry=RetryPolicy(max_attempts=2, base_delay_s=0.001, max_delay_s=0.001, max_wait_s=0.1),
        request_timeout_s=0.2,
        stream_chunk_timeout_s=0.1,
    )


@pytest.fixture
async def client(
    careful: Settings, world: Careless, spans: Spans
) -> AsyncIterator[httpx2.AsyncClient]:
    app = create_app(careful, transport=world, tracer=spans.tracer)

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError(f"unexpected {careful.openai.key} in {REDIS_URL}")

    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as http,
    ):
        yield http


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_no_secret_leaves_the_service_in_any_failure(
    client: httpx2.AsyncClient, world: Careless, careful: Settings, logs: CapturedLogs, spans: Spans
) -> None:
    answers = [answer async for answer in _answers(client, world)]
    answers += [await client.get(path) for path in ("/boom", "/metrics", "/metrics/summary")]
    assert len(answers) == REQUESTS + 3
    assert {answer.status_code for answer in answers} == {200, 404, 422, 500, 502, 503, 504}
    assert all(world.keys[key] > 50 for key in (OPENAI_KEY, ANTHROPIC_KEY))
    shown = [f"{answer.headers}{answer.text}" for answer in answers]
    dumps = [repr(careful), str(careful.model_dump()), careful.model_dump_json()]
    said = [*shown, *dumps, *logs.text.splitlines(), *spans.text.splitlines()]
    assert [text for text in said if "canary" in text] == []
    assert spans.names.count("POST /v1/chat") == REQUESTS
    assert {"GET /boom", "chat m", "attempt openai", "attempt anthropic"} <= set(spans.names)


async def _answers(client: httpx2.AsyncClient, world: Careless) -> AsyncIterator[httpx2.Response]:
    control = httpx2.AsyncClient(transport=world, base_url="http://mock")
    faults = cycle(FAULTS)
    for number in range(REQUESTS):
        if number % len(BODIES) == 0:
            await control.put("/_mock/faults", json=next(faults))
        body = BODIES[number % len(BODIES)]
        yield await client.post("/v1/chat", json=body, headers={"X-Request-ID": f"r-{number}"})
