import asyncio
import base64
import hashlib
import random
import string

import httpx2
import pytest
from starlette.types import Message

from app.api.summary_page import POLICY, summary_page
from app.errors import RateLimitError
from app.telemetry.recent import Statistics
from app.testing import CapturedLogs, FakeChatModel, captured_logs
from tests.running_service import QUESTION, RunningService, opened


async def test_requests_are_counted_by_route_and_status(service: RunningService) -> None:
    await service.ask()
    await service.ask(messages=[])
    text = (await service.http.get("/metrics")).text
    assert 'http_requests_total{method="POST",route="/v1/chat",status="200"} 1.0' in text
    assert 'http_requests_total{method="POST",route="/v1/chat",status="422"} 1.0' in text
    assert 'http_request_duration_seconds_count{method="POST",route="/v1/chat"} 2.0' in text


async def test_a_request_is_in_flight_until_its_answer() -> None:
    has_begun, may_answer = asyncio.Event(), asyncio.Event()

    async def pause() -> None:
        has_begun.set()
        await may_answer.wait()

    async with opened(FakeChatModel([pause, "Hello!"], RuntimeError("a bug"))) as service:
        asked = asyncio.create_task(service.ask())
        await has_begun.wait()
        scraped = (await service.http.get("/metrics")).text
        assert "http_requests_in_flight 2.0" in scraped  # with the scrape itself
        may_answer.set()
        assert (await asked).status_code == 200
        assert (await service.ask(temperature=0.5)).status_code == 500
        assert "http_requests_in_flight 1.0" in (await service.http.get("/metrics")).text


async def test_prometheus_gets_the_format_it_asks_for(service: RunningService) -> None:
    plain = await service.http.get("/metrics", headers={"Accept": "text/plain"})
    open_metrics = await service.http.get(
        "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert plain.headers["content-type"].startswith("text/plain")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


@pytest.mark.slow
async def test_ten_thousand_paths_and_methods_do_not_grow_the_metrics(
    service: RunningService,
) -> None:
    dice = random.Random(4)  # noqa: S311 - the same words each time
    for _ in range(100):
        await _request(service, _word(dice).upper(), f"/{_word(dice)}")
    before = (await service.http.get("/metrics")).text.count("\n")
    with captured_logs("ERROR"):
        for _ in range(10_000):
            await _request(service, _word(dice).upper(), f"/{_word(dice)}")
    after = (await service.http.get("/metrics")).text.count("\n")
    assert after - before < 30  # /metrics itself has appeared


async def test_the_summary_shows_the_last_minutes_per_method() -> None:
    async with opened(FakeChatModel("Hello!", RateLimitError("busy"))) as service:
        for _ in range(4):
            await service.ask()
        summary = (await service.http.get("/metrics/summary")).json()
    chat = summary["http"]["POST /v1/chat"]
    assert summary["window_s"] == 300
    assert (chat["count"], chat["errors"], chat["error_rate"]) == (4, 3, 0.75)
    assert 0 < chat["p50_ms"] <= chat["p95_ms"] <= chat["p99_ms"]


async def test_the_summary_shows_each_provider(api: httpx2.AsyncClient) -> None:
    for provider in ("openai", "anthropic", "anthropic"):
        await api.post("/v1/chat", json={**QUESTION, "provider": provider})
    llm = (await api.get("/metrics/summary")).json()["llm"]
    # The second question to anthropic was answered by the cache.
    assert {name: found["count"] for name, found in llm.items()} == {
        "anthropic chat": 1,
        "openai chat": 1,
    }


CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


async def test_a_browser_gets_the_summary_as_a_page() -> None:
    async with opened(FakeChatModel("Hello!", RateLimitError("busy"))) as service:
        for _ in range(4):
            await service.ask()
        answer = await service.http.get("/metrics/summary", headers={"Accept": CHROME})
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "<td>POST /v1/chat</td><td>4</td>" in answer.text
    assert "3 (75.0%)</td>" in answer.text
    assert "No calls." in answer.text  # of models: the fake one is not measured
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_names_in_the_page_of_the_summary_are_escaped() -> None:
    found = Statistics(1, 1, 1.0, None, 2.0, 1234.56)
    page = summary_page(300, {"<b>": {"<script>alert(1)</script>": found}})
    assert "<script" not in page
    assert "<b>" not in page
    assert "<td>-</td><td>2.0</td><td>1,234.6</td>" in page


def test_the_style_of_the_page_is_allowed_by_its_hash() -> None:
    style = summary_page(300, {}).partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "application/json, text/html"])
async def test_a_program_gets_the_summary_as_json(service: RunningService, accept: str) -> None:
    answer = await service.http.get("/metrics/summary", headers={"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Vary"] == "Accept"
    assert set(answer.json()) == {"window_s", "http", "llm"}


async def test_unknown_paths_do_not_grow_the_summary(service: RunningService) -> None:
    dice = random.Random(4)  # noqa: S311 - the same words each time
    for _ in range(100):
        await _request(service, _word(dice).upper(), f"/{_word(dice)}")
    assert set((await service.http.get("/metrics/summary")).json()["http"]) == {"OTHER unmatched"}


async def test_two_services_in_one_process_count_for_themselves() -> None:
    async with opened(FakeChatModel()) as one, opened(FakeChatModel()) as other:
        await one.ask()
        assert 'route="/v1/chat"' in (await one.http.get("/metrics")).text
        assert 'route="/v1/chat"' not in (await other.http.get("/metrics")).text


async def test_a_request_is_one_line_in_the_log(
    service: RunningService, logs: CapturedLogs
) -> None:
    await service.http.get("/nowhere/at/all")
    await service.ask()
    missing, asked = logs.events("http.request")
    assert (missing["route"], missing["status"]) == ("unmatched", 404)
    assert (asked["method"], asked["route"], asked["status"]) == ("POST", "/v1/chat", 200)
    assert asked["duration_ms"] > 0


async def test_probes_are_not_most_of_the_log(service: RunningService, logs: CapturedLogs) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/metrics/summary"):
        await service.http.get(path)
    assert {line["level"] for line in logs.events("http.request")} == {"debug"}


def _word(dice: random.Random) -> str:
    return "".join(dice.choices(string.ascii_lowercase, k=12))


async def _request(service: RunningService, method: str, path: str) -> None:
    """Call the application without a client, which would take ten times as long as the service."""
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    statuses = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    await service.app(scope, receive, send)
    assert statuses[0] == 404
