import asyncio
import time
from typing import Any

import httpx2

from app.main import create_app
from app.resilience.circuit_breaker import CircuitState
from app.resilience.health import Health
from app.settings import Settings
from app.testing import FakeChatModel
from tests.running_service import DeadCache, RunningService, opened


async def test_healthz_answers_while_the_process_runs(service: RunningService) -> None:
    answer = await service.http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_healthz_calls_no_other_service() -> None:
    cache = DeadCache()
    async with opened(FakeChatModel(), cache=cache) as service:
        assert (await service.http.get("/healthz")).status_code == 200
    assert cache.pings == 0


async def test_readyz_of_a_new_service_lists_nothing_as_degraded(
    service: RunningService,
) -> None:
    answer = await service.http.get("/readyz")
    ready = {"status": "ready", "degraded": [], "providers": {}}
    assert (answer.status_code, answer.json()) == (200, ready)


async def test_without_its_cache_the_service_is_ready_and_lists_the_cache_as_degraded() -> None:
    async with opened(FakeChatModel(), cache=DeadCache()) as service:
        answer = await service.http.get("/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["cache"])


async def test_a_cache_that_hangs_does_not_hang_the_probe() -> None:
    async with opened(FakeChatModel(), cache=DeadCache(hangs=True)) as service:
        async with asyncio.timeout(10):  # it hangs for ever, and the machine may be busy
            answer = await service.http.get("/readyz")
    assert answer.json()["degraded"] == ["cache"]


def health(
    *, calls: str = "", state: CircuitState = "closed", probe_failed: bool = False
) -> Health:
    made = Health(lambda: state)
    for outcome in calls:
        made.calls.add(ok=outcome == "+")
    made.probed(ok=not probe_failed)
    return made


async def test_readyz_shows_the_health_of_each_provider() -> None:
    providers = {
        "one": health(calls="++++-"),
        "two": health(calls="-" * 10),
        "three": health(state="open"),
        "four": health(probe_failed=True),
    }
    async with opened(FakeChatModel(), cache=DeadCache(), health=providers) as service:
        answer = await service.http.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "degraded": ["cache", "two", "three", "four"],
        "providers": {
            "one": {"state": "closed", "success_rate": 0.8, "calls": 5},
            "two": {"state": "closed", "success_rate": 0, "calls": 10},
            "three": {"state": "open", "success_rate": None, "calls": 0},
            "four": {"state": "closed", "success_rate": None, "calls": 0},
        },
    }


async def _ready(unreachable: set[str], **values: Any) -> httpx2.Response:
    """The answer of `/readyz` of a new service; no server runs at these addresses."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.host in unreachable:
            raise httpx2.ConnectError("refused")
        return httpx2.Response(503)

    app = create_app(Settings(**values), transport=httpx2.MockTransport(answer))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client,
    ):
        return await client.get("/readyz")


async def test_without_a_provider_and_without_the_mock_api_the_service_is_not_ready() -> None:
    answer = await _ready({"127.0.0.1"})
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"].startswith("No provider is configured")


async def test_with_a_mock_api_that_answers_with_errors_the_service_is_ready() -> None:
    assert (await _ready(set())).status_code == 200


async def test_with_a_configured_provider_that_is_down_the_service_is_ready() -> None:
    real = {"base_url": "https://api.openai.com/v1", "api_key": "sk-canary"}
    answer = await _ready({"127.0.0.1", "api.openai.com"}, openai=real)
    assert (answer.status_code, answer.json()["degraded"]) == (200, [])


async def test_a_mock_api_that_hangs_does_not_hang_the_probe() -> None:
    async def hang(_request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    app = create_app(Settings(), transport=httpx2.MockTransport(hang))
    started = time.perf_counter()
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as client,
    ):
        assert (await client.get("/readyz")).status_code == 503
    assert time.perf_counter() - started < 5
