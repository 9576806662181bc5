import random
import string

from starlette.types import Message

from app.testing import CapturedLogs, FakeChatModel
from tests.door import Door, opened


async def test_requests_are_counted_by_route_and_status(door: Door) -> None:
    await door.ask()
    await door.ask(messages=[])
    text = (await door.http.get("/metrics")).text
    assert 'http_requests_total{method="POST",route="/v1/chat",status="200"} 1.0' in text
    assert 'http_requests_total{method="POST",route="/v1/chat",status="422"} 1.0' in text
    assert 'http_request_duration_seconds_count{method="POST",route="/v1/chat"} 2.0' in text


async def test_prometheus_gets_the_format_it_asks_for(door: Door) -> None:
    plain = await door.http.get("/metrics", headers={"Accept": "text/plain"})
    open_metrics = await door.http.get(
        "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )
    assert plain.headers["content-type"].startswith("text/plain")
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


async def test_ten_thousand_paths_and_methods_do_not_grow_the_metrics(door: Door) -> None:
    dice = random.Random(4)  # noqa: S311 - the same words each time
    for _ in range(100):
        await _request(door, _word(dice).upper(), f"/{_word(dice)}")
    before = (await door.http.get("/metrics")).text.count("\n")
    for _ in range(10_000):
        await _request(door, _word(dice).upper(), f"/{_word(dice)}")
    after = (await door.http.get("/metrics")).text.count("\n")
    assert after - before < 30  # /metrics itself has appeared


async def test_two_services_in_one_process_count_for_themselves() -> None:
    async with opened(FakeChatModel()) as one, opened(FakeChatModel()) as other:
        await one.ask()
        assert 'route="/v1/chat"' in (await one.http.get("/metrics")).text
        assert 'route="/v1/chat"' not in (await other.http.get("/metrics")).text


async def test_a_request_is_one_line_in_the_log(door: Door, logs: CapturedLogs) -> None:
    await door.http.get("/nowhere/at/all")
    await door.ask()
    missing, asked = logs.events("http.request")
    assert (missing["route"], missing["status"]) == ("unmatched", 404)
    assert (asked["method"], asked["route"], asked["status"]) == ("POST", "/v1/chat", 200)
    assert asked["duration_ms"] > 0


async def test_probes_are_not_most_of_the_log(door: Door, logs: CapturedLogs) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        await door.http.get(path)
    assert {line["level"] for line in logs.events("http.request")} == {"debug"}


def _word(dice: random.Random) -> str:
    return "".join(dice.choices(string.ascii_lowercase, k=12))


async def _request(door: Door, method: str, path: str) -> None:
    """Knock without a client, which would take ten times as long as the service."""
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    statuses = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        statuses.append(message.get("status"))

    await door.app(scope, receive, send)
    assert statuses[0] == 404
