"""What the settings of the guards do to the whole stack."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

import fakeredis
import httpx2 as httpx
import pytest

from app.errors import (
    CircuitOpenError,
    NothingCanAnswerError,
    ProviderTimeoutError,
    ProviderUnavailableError,
)
from app.llm.types import ChatRequest, Message
from app.redis.client import SharedRedis
from app.settings import Settings
from app.testing import CapturedLogs
from app.wiring import Service, open_service
from tests.llm.samples import ANTHROPIC, OPENAI

REQUEST = ChatRequest((Message("user", "Where is the Zugspitze?"),))
ONE_ATTEMPT = {"retry": {"max_attempts": 1}}


class Upstream:
    """Both providers; the first one answers when it may, and both with `status`."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status = 200
        self.openai_may_answer = asyncio.Event()
        self.openai_may_answer.set()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(f"{request.method} {request.url.path}")
        openai = "x-api-key" not in request.headers
        if openai:
            await self.openai_may_answer.wait()
        if self.status != 200:
            return httpx.Response(self.status)
        return httpx.Response(200, content=OPENAI.body if openai else ANTHROPIC.body)


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@asynccontextmanager
async def service(upstream: Upstream, **values: object) -> AsyncIterator[Service]:
    settings = Settings(**{**ONE_ATTEMPT, **values})  # type: ignore[arg-type]  # by name
    async with open_service(settings, transport=httpx.MockTransport(upstream)) as opened:
        yield opened


async def test_providers_that_keep_failing_are_left_alone(upstream: Upstream) -> None:
    upstream.status = 500
    async with service(upstream, breaker={"failures": 2}) as opened:
        for _ in range(2):
            with pytest.raises(NothingCanAnswerError):
                await opened.chat.complete(REQUEST)
        with pytest.raises(NothingCanAnswerError) as raised:
            await opened.chat.complete(REQUEST)
    assert len(upstream.calls) == 2 * 2
    assert [type(cause) for cause in raised.value.causes] == [CircuitOpenError, CircuitOpenError]
    assert raised.value.retry_after_s == pytest.approx(30, abs=5)
    assert [health.report().state for health in opened.health.values()] == ["open", "open"]


async def test_with_redis_other_processes_need_one_failure(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = fakeredis.FakeAsyncRedis()
    redis = SharedRedis(client)
    monkeypatch.setattr("app.redis.backend.open_redis", lambda _url, _prefix: nullcontext(redis))
    upstream.status = 500
    values = {"breaker": {"failures": 2}, "llm_providers": "openai", "redis_url": "redis://fake"}
    async with service(upstream, **values) as one, service(upstream, **values) as two:
        for process in (one, one, two):
            with pytest.raises(ProviderUnavailableError):
                await process.chat.complete(REQUEST)
        with pytest.raises(CircuitOpenError):
            await two.chat.complete(REQUEST)
    await client.aclose()


@pytest.mark.slow
async def test_a_provider_that_hangs_is_left_alone_however_short_the_deadline_is(
    upstream: Upstream,
) -> None:
    upstream.openai_may_answer.clear()
    # The attempt ends before the deadline, and a busy machine needs some time between the two.
    impatient = {"max_attempts": 1, "deadline_s": 4}
    values = {"retry": impatient, "breaker": {"failures": 1}, "llm_providers": "openai"}
    async with service(upstream, **values) as opened:
        with pytest.raises(ProviderTimeoutError):
            await opened.chat.complete(REQUEST)
        with pytest.raises(CircuitOpenError):
            await opened.chat.complete(REQUEST)


async def test_a_slow_provider_is_not_waited_for_when_hedging(
    upstream: Upstream, logs: CapturedLogs
) -> None:
    upstream.openai_may_answer.clear()
    async with service(upstream, hedge={"after_s": 0.001, "max_extra": 1}) as opened:
        assert (await opened.chat.complete(REQUEST)).provider == "anthropic"
    assert [line["won"] for line in logs.events("llm.hedge")] == ["second"]


@pytest.mark.parametrize(("caching", "calls"), [(True, 1), (False, 2)], ids=["cached", "not"])
async def test_equal_questions_at_the_same_time_are_shared_where_answers_may_be(
    upstream: Upstream, calls: int, *, caching: bool
) -> None:
    async with service(upstream, enable_caching=caching) as opened:
        await asyncio.gather(*(opened.chat.complete(REQUEST) for _ in range(2)))
    assert len(upstream.calls) == calls


def all_unwell(opened: Service) -> bool:
    return all(health.report().probe_failed for health in opened.health.values())


async def test_providers_without_calls_are_probed(upstream: Upstream, logs: CapturedLogs) -> None:
    upstream.status = 503
    async with service(upstream, health_probe_interval_s=0.001) as opened, asyncio.timeout(5):
        while not all_unwell(opened):  # noqa: ASYNC110 - health has no event for it
            await asyncio.sleep(0.001)
    assert {*upstream.calls} == {"GET /v1/models"}
    assert {line["provider"] for line in logs.events("llm.probe")} == {"openai", "anthropic"}
    assert logs.events("llm.probe")[0]["error"] == "ProviderUnavailableError"
