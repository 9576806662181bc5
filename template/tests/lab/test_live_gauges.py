"""The clock, the log and the gauges of the page of `make lab`."""

import asyncio
import time
from contextlib import aclosing

import orjson
import pytest
import structlog
from fakeredis import FakeAsyncRedis

from app.backend import LocalBackend
from app.clients.ledger import Hold
from app.clients.policy import ClientLimits
from app.redis.backend import RedisBackend
from app.redis.client import SharedRedis
from app.resilience.rate_limit import RateLimitPolicy
from app.telemetry.logging import LogPolicy, configure
from app.testing import CapturedMetrics, FakeClock, captured_logs
from scripts.lab.live import gauges
from scripts.lab.live.bus import Bus
from scripts.lab.live.gauges import Watched, WatchedLimiter
from scripts.lab.live.tap import LogTap
from scripts.lab.paced import PacedLoop


@pytest.mark.parametrize(
    ("policy", "size", "after_a_second"),
    [
        pytest.param(RateLimitPolicy(requests_per_minute=60), 60, 58, id="bucket"),
        pytest.param(RateLimitPolicy(requests_per_minute=60, burst=5), 5, 3, id="burst"),
        pytest.param(RateLimitPolicy(requests_per_minute=60, strict=True), 60, 57, id="strict"),
    ],
)
async def test_a_limiter_tells_how_many_calls_could_pass(
    policy: RateLimitPolicy, size: int, after_a_second: int
) -> None:
    clock = FakeClock()
    limiter = WatchedLimiter(policy, clock=clock.monotonic, sleep=clock.sleep)
    assert (limiter.left, limiter.size) == (size, size)
    for _ in range(3):
        assert await limiter.acquire() == 0
    assert limiter.left == size - 3
    clock.now += 1
    assert limiter.left == after_a_second


async def test_an_empty_limiter_has_no_call_left() -> None:
    clock = FakeClock()
    policy = RateLimitPolicy(requests_per_minute=60, burst=1)
    limiter = WatchedLimiter(policy, clock=clock.monotonic, sleep=clock.sleep)
    await limiter.acquire()
    assert limiter.left == 0


async def test_the_limiters_of_a_service_are_watched_with_and_without_redis() -> None:
    policy = RateLimitPolicy(requests_per_minute=7)
    with gauges.watched_limits() as watched:
        limiter = LocalBackend().limiter(policy, "openai", "http://127.0.0.1")
        async with aclosing(SharedRedis(FakeAsyncRedis(), "lab")) as redis:
            RedisBackend(redis).limiter(policy, "anthropic", "http://127.0.0.1")
        await limiter.acquire()
        assert [each.left for each in watched.limiters] == [6, 7]


def test_gauges_are_those_of_the_metrics() -> None:
    metrics = CapturedMetrics()
    metrics.breaker("openai", lambda: "half_open")
    metrics.llm_costs("openai", "gpt-5-mini", {}, 0.25)
    metrics.llm_costs("anthropic", "claude-haiku-4-5", {}, 0.5)
    metrics.http_request("POST", "/v1/chat", 200, 2.0)
    found = gauges.read(metrics, ["openai"], Watched([WatchedLimiter(RateLimitPolicy())]))
    assert found["circuits"] == {"openai": "half_open"}
    assert found["buckets"] == {"openai": {"left": 100, "size": 100}}
    assert found["cost_usd"] == 0.75
    chat = found["chat"]
    assert isinstance(chat, dict)
    assert chat["p50_ms"] == pytest.approx(2000, rel=0.02)


async def test_a_client_over_its_limit_is_shown_with_its_refusals() -> None:
    limits = ClientLimits(requests_per_minute=2)
    with gauges.watched_limits() as watched:
        ledger = LocalBackend().ledger()
        for client, requests in (("acme", 5), ("globex", 1)):
            for _ in range(requests):
                await ledger.open(Hold(client, limits))
        await ledger.open(Hold("unlimited", ClientLimits()))
    assert gauges.read(CapturedMetrics(), ["openai"], watched)["clients"] == {
        "acme": {"left": 0, "size": 2, "refused": 3},
        "globex": {"left": 1, "size": 2, "refused": 0},
    }


def test_gauges_without_a_request_have_no_percentiles() -> None:
    assert gauges.read(CapturedMetrics(), ["openai"], Watched())["chat"] is None


def test_a_line_of_the_log_is_an_event_with_its_request() -> None:
    bus = Bus(FakeClock().monotonic)
    with captured_logs():  # restores the configuration of the log
        configure(LogPolicy(format="json"), stream=LogTap(bus), cache_loggers=False)
        structlog.get_logger("app.llm").warning("llm.retry", request_id="one", attempt=1)
    with bus.open() as page:
        page.get_nowait()
        event = page.get_nowait()
    assert event is not None
    assert (event["kind"], event["id"]) == ("log", "one")
    assert orjson.loads(orjson.dumps(event["line"]))["attempt"] == 1


def test_the_clock_of_a_lab_runs_faster_by_its_speed() -> None:
    """At 50 times the speed 20 s take 0.4 s; a busy machine only makes it longer."""

    async def a_while(loop: PacedLoop) -> float:
        loop.speed = 50
        before = loop.time()
        await asyncio.sleep(20)
        return loop.time() - before

    started = time.monotonic()
    with asyncio.Runner(loop_factory=PacedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, PacedLoop)
        assert loop.time() == pytest.approx(time.time(), abs=5)
        assert runner.run(a_while(loop)) >= 19.9
    assert 0.3 < time.monotonic() - started < 15


def test_another_speed_does_not_move_the_clock() -> None:
    loop = PacedLoop()
    try:
        before = loop.time()
        loop.speed = 10
        assert loop.time() - before < 5
    finally:
        loop.close()
