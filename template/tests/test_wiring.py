"""The whole stack, from settings to bytes on a fake wire."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace

import httpx2 as httpx
import pytest
from prometheus_client import CollectorRegistry

from app.cache import MemoryCache, NoCache
from app.errors import LimitReachedError, NothingCanAnswerError, TokenLimitError
from app.llm.token_limited import TokenLimited
from app.llm.types import ChatRequest, Done, Message
from app.redis.cache import RedisCache
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.testing import captured_logs
from app.wiring import open_service
from tests.llm.samples import ANTHROPIC, OPENAI, PIECES, TEXT

REQUEST = ChatRequest((Message("user", "Where is the Zugspitze?"),))
QUICK = {"retry": {"base_delay_s": 0.001, "max_delay_s": 0.001}}


class Upstream:
    """Both providers behind one transport; `openai` and `anthropic` say how each of them answers."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.statuses: list[int] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        sample = OPENAI if request.url.path.endswith("completions") else ANTHROPIC
        status = self.statuses.pop(0) if self.statuses else 200
        if status != 200:
            return httpx.Response(status)
        if json.loads(request.content).get("stream"):
            return httpx.Response(
                200, content=sample.stream, headers={"Content-Type": "text/event-stream"}
            )
        return httpx.Response(200, content=sample.body)


def settings(**values: object) -> Settings:
    return Settings(**{**QUICK, **values})  # type: ignore[arg-type]  # by name


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REDIS_URL", "ENABLE_CACHING", "LLM_PROVIDERS", "OPENAI_MODEL", "TEMPERATURE"):
        monkeypatch.delenv(name, raising=False)


async def test_a_question_is_answered(upstream: Upstream) -> None:
    async with open_service(settings(), transport=httpx.MockTransport(upstream)) as service:
        response = await service.chat.complete(REQUEST)
    assert service.providers == ("openai", "anthropic")
    assert (response.provider, response.content) == ("openai", TEXT)
    assert response.latency_ms > 0


async def test_a_question_is_streamed(upstream: Upstream) -> None:
    async with open_service(settings(), transport=httpx.MockTransport(upstream)) as service:
        *deltas, done = [event async for event in service.chat.stream(REQUEST)]
    assert len(deltas) == len(PIECES)
    assert isinstance(done, Done)


async def test_a_stumbling_provider_is_asked_again(upstream: Upstream) -> None:
    upstream.statuses = [503, 429]
    async with open_service(settings(), transport=httpx.MockTransport(upstream)) as service:
        assert (await service.chat.complete(REQUEST)).provider == "openai"
    assert len(upstream.requests) == 3


async def test_the_next_provider_answers_after_all_attempts(upstream: Upstream) -> None:
    upstream.statuses = [500] * 3
    async with open_service(settings(), transport=httpx.MockTransport(upstream)) as service:
        assert (await service.chat.complete(REQUEST)).provider == "anthropic"


async def test_the_order_of_the_providers_is_a_setting(upstream: Upstream) -> None:
    chosen = settings(llm_providers="anthropic,openai")
    async with open_service(chosen, transport=httpx.MockTransport(upstream)) as service:
        assert (await service.chat.complete(REQUEST)).provider == "anthropic"


async def test_when_all_fail_nothing_can_answer(upstream: Upstream) -> None:
    upstream.statuses = [500] * 6
    async with open_service(settings(), transport=httpx.MockTransport(upstream)) as service:
        with pytest.raises(NothingCanAnswerError):
            await service.chat.complete(REQUEST)


async def test_an_equal_question_costs_nothing_and_is_counted_as_such(upstream: Upstream) -> None:
    registry = CollectorRegistry()
    async with open_service(
        settings(), transport=httpx.MockTransport(upstream), metrics=Metrics(registry)
    ) as service:
        with captured_logs() as logs:
            await service.chat.complete(REQUEST)
            assert (await service.chat.complete(REQUEST)).cached
    assert len(upstream.requests) == 1
    assert [line["outcome"] for line in logs.events("llm.call")] == ["ok", "cached"]


ONE_CALL = {"requests_per_minute": 1, "max_wait_s": 0}


async def test_each_provider_has_a_limit_of_its_own(upstream: Upstream) -> None:
    chosen = settings(rate_limit=ONE_CALL, enable_caching=False)
    async with open_service(chosen, transport=httpx.MockTransport(upstream)) as service:
        for provider in ("openai", "anthropic"):
            await service.chat.complete(replace(REQUEST, provider=provider))
            with pytest.raises(LimitReachedError) as raised:
                await service.chat.complete(replace(REQUEST, provider=provider))
            assert raised.value.provider == provider
    assert len(upstream.requests) == 2


async def test_tokens_are_limited_by_the_usage_of_each_attempt(upstream: Upstream) -> None:
    """A call reserves 1,034 tokens and uses 20: without what it gives back, the third call is refused."""
    limit = {"tokens_per_minute": 2_200, "max_wait_s": 0}
    chosen = settings(rate_limit=limit, enable_caching=False)
    async with open_service(chosen, transport=httpx.MockTransport(upstream)) as service:
        for _ in range(4):
            await service.chat.complete(REQUEST)
        with pytest.raises(TokenLimitError):
            await service.chat.complete(replace(REQUEST, max_tokens=2_200))
        streams = [service.chat.stream(REQUEST) for _ in range(3)]
        await anext(streams[0])
        await anext(streams[1])
        with pytest.raises(LimitReachedError, match="calls or tokens per minute"):
            await anext(streams[2])
        for stream in streams:
            await stream.aclose()
        await service.chat.complete(REQUEST)
    assert len(upstream.requests) == 7


@pytest.mark.parametrize("tokens", [None, 0, 2_200])
async def test_without_a_limit_of_tokens_no_guard_counts_them(
    tokens: int | None, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[str] = []
    monkeypatch.setattr(TokenLimited, "protect", lambda _guard, name: counted.append(name))
    chosen = settings(rate_limit={"tokens_per_minute": tokens})
    async with open_service(chosen, transport=httpx.MockTransport(upstream)):
        pass
    assert counted == (["openai", "anthropic"] if tokens else [])


async def test_each_attempt_counts_for_the_limit(upstream: Upstream) -> None:
    upstream.statuses = [503]
    async with open_service(
        settings(rate_limit=ONE_CALL), transport=httpx.MockTransport(upstream)
    ) as service:
        answer = await service.chat.complete(REQUEST)
    # The retry is refused by our limit. The provider is down all the same, so the next one is asked.
    assert answer.provider == "anthropic"
    called = [request.url.path.rpartition("/")[2] for request in upstream.requests]
    assert called == ["completions", "messages"]


async def test_an_answer_from_the_cache_takes_no_token(upstream: Upstream) -> None:
    async with open_service(
        settings(rate_limit=ONE_CALL), transport=httpx.MockTransport(upstream)
    ) as service:
        answers = [await service.chat.complete(REQUEST) for _ in range(5)]
    assert [answer.cached for answer in answers] == [False, True, True, True, True]


async def test_a_call_that_fails_is_logged_with_the_model_that_was_asked(
    upstream: Upstream,
) -> None:
    upstream.statuses = [401]
    async with open_service(settings(), transport=httpx.MockTransport(upstream)) as service:
        with captured_logs() as logs:
            await service.chat.complete(REQUEST)
    assert logs.events("llm.call")[0]["model"] == settings().openai.model


async def test_when_all_fail_an_old_answer_is_better_than_none(upstream: Upstream) -> None:
    chosen = settings(cache={"ttl_s": 0.001}, llm_providers="anthropic,openai")
    async with open_service(chosen, transport=httpx.MockTransport(upstream)) as service:
        first = await service.chat.complete(REQUEST)
        upstream.statuses = [500] * 6
        await asyncio.sleep(0.002)
        later = await service.chat.complete(REQUEST)
    assert (first.stale, later.stale, later.content) == (False, True, first.content)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({}, MemoryCache),
        ({"enable_caching": False}, NoCache),
        ({"redis_url": "redis://127.0.0.1:1/0"}, RedisCache),
        ({"redis_url": "redis://127.0.0.1:1/0", "enable_caching": False}, NoCache),
    ],
    ids=["memory", "off", "redis", "off, redis there"],
)
async def test_the_cache_is_a_setting(
    values: dict[str, object], kind: Callable[[], object]
) -> None:
    async with open_service(settings(**values)) as service:
        assert type(service.cache) is kind


async def test_a_missing_redis_is_no_missing_answer(
    upstream: Upstream, unused_tcp_port: int
) -> None:
    chosen = settings(redis_url=f"redis://127.0.0.1:{unused_tcp_port}/0")
    async with open_service(chosen, transport=httpx.MockTransport(upstream)) as service:
        assert (await service.chat.complete(REQUEST)).content == TEXT


@pytest.mark.parametrize("switch", ["log.previews", "debug_mode"])
async def test_previews_have_a_switch(upstream: Upstream, switch: str) -> None:
    on: dict[str, object] = (
        {"log": {"previews": True}} if switch == "log.previews" else {"debug_mode": True}
    )
    for values, shown in (({}, False), (on, True)):
        transport = httpx.MockTransport(upstream)
        with captured_logs() as logs:
            async with open_service(settings(**values), transport=transport) as service:
                await service.chat.complete(REQUEST)
        assert ("Zugspitze" in logs.text) is shown


async def test_the_default_models_have_names_and_prices_in_the_metrics(upstream: Upstream) -> None:
    metrics = Metrics()
    transport = httpx.MockTransport(upstream)
    async with open_service(settings(), transport=transport, metrics=metrics) as service:
        await service.chat.complete(REQUEST)
        await service.chat.complete(replace(REQUEST, model="whatever-i-like"))
    text = metrics.exposition()[0].decode()
    assert 'llm_requests_total{model="gpt-5-mini"' in text
    assert 'llm_requests_total{model="other"' in text
