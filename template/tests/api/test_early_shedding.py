"""A request that no provider has a place for is refused before its body is read."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from starlette.types import Message

from app.main import create_app
from app.resilience.bulkhead import Bulkhead
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.testing import CapturedLogs, CapturedMetrics
from app.wiring import Service, open_service
from mock_api.testing import running_server
from tests.client_keys import CLIENT_KEYS, KEYS, bearer
from tests.running_service import QUESTION

CHAT, OPENAI_CHAT = "/v1/chat", "/openai/v1/chat/completions"
ACME, GLOBEX = bearer(KEYS["acme"]), bearer(KEYS["globex"])


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with running_server() as url:
        yield url


@dataclass
class Running:
    """A service with one connection to each provider, and one place in each queue."""

    app: FastAPI
    http: httpx2.AsyncClient
    opened: list[tuple[Service, Metrics]]

    @property
    def bulkheads(self) -> list[Bulkhead]:
        return [gate.bulkhead for gate in self.opened[0][0].gates.values()]

    def value(self, sample: str, **labels: str) -> float:
        return CapturedMetrics.value(self.opened[0][1], sample, **labels)  # type: ignore[arg-type]

    async def ask(
        self, path: str = CHAT, headers: dict[str, str] | None = None, **more: Any
    ) -> httpx2.Response:
        return await self.http.post(path, json={**QUESTION, **more}, headers=headers)


@asynccontextmanager
async def service(mock: str, **settings: object) -> AsyncIterator[Running]:
    opened: list[tuple[Service, Metrics]] = []

    @asynccontextmanager
    async def opener(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
        async with open_service(settings, metrics=metrics) as service:
            opened.append((service, metrics))
            yield service

    given = {
        "llm_providers": "openai",
        "enable_caching": False,
        "max_concurrency": 1,
        "queue": {"length": 1, "timeout_s": 60},
        "openai": {"base_url": f"{mock}/v1"},
        "anthropic": {"base_url": mock},
        "health_probe_interval_s": 0,
        **settings,
    }
    app = create_app(Settings(**given), opener=opener)  # type: ignore[arg-type]
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        yield Running(app, http, opened)


@asynccontextmanager
async def taken(*bulkheads: Bulkhead, by: str = "", queued: int = 1) -> AsyncIterator[None]:
    """All places are taken, and `queued` calls wait. Afterwards all places are free."""
    for bulkhead in bulkheads:
        await bulkhead.take(by)
    waiting = [asyncio.create_task(each.take(by)) for each in bulkheads for _ in range(queued)]
    await asyncio.sleep(0)
    yield
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for bulkhead in bulkheads:
        bulkhead.release(by)


async def refused_unread(app: FastAPI, path: str = CHAT, method: str = "POST") -> int:
    """The status of a request with a body that must not be read."""
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body is read")

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    await app({**scope, "http_version": "1.1", "scheme": "http"}, receive, send)
    status: int = sent[0]["status"]
    return status


EMBEDDINGS = ["/v1/embeddings", "/openai/v1/embeddings"]


@pytest.mark.parametrize("path", [CHAT, "/v1/ask", "/v1/extract", OPENAI_CHAT, *EMBEDDINGS])
async def test_while_the_queue_is_full_the_body_is_not_read(mock: str, path: str) -> None:
    async with service(mock) as running, taken(*running.bulkheads):
        assert await refused_unread(running.app, path) == 503


async def test_a_refusal_is_a_problem_with_the_time_to_wait(mock: str) -> None:
    async with service(mock) as running, taken(*running.bulkheads):
        answer = await running.ask(headers={"X-Request-ID": "mine"})
    assert answer.status_code == 503
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert (answer.json()["type"], answer.json()["request_id"]) == (
        "urn:problem:overloaded",
        "mine",
    )


async def test_a_refusal_below_openai_has_its_envelope(mock: str) -> None:
    async with service(mock) as running, taken(*running.bulkheads):
        answer = await running.ask(OPENAI_CHAT, model="auto")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "overloaded"
    assert "Retry-After" in answer.headers


async def test_a_refusal_is_counted_and_logged_as_one_of_the_queue(
    mock: str, logs: CapturedLogs
) -> None:
    async with (
        service(mock, client={"keys": CLIENT_KEYS}) as running,
        taken(*running.bulkheads, by="acme"),
    ):
        for _ in range(3):
            await running.ask(headers=ACME)
    assert running.value("llm_shed_total", provider="openai", reason="full") == 3
    assert running.value("client_requests_total", client="acme", status="503") == 3
    assert running.value("http_requests_total", route=CHAT, status="503") == 3
    assert running.value("llm_requests_total") == 0  # the stack of guards is not entered
    (line,) = logs.events("llm.shed")
    assert line.items() >= {"provider": "openai", "reason": "full", "waiting": 1}.items()
    assert {each["route"] for each in logs.events("http.request")} == {CHAT}


@pytest.mark.parametrize(
    ("settings", "greedy", "modest"),
    [
        pytest.param({"client": {"keys": CLIENT_KEYS}}, ACME, GLOBEX, id="keys"),
        pytest.param({}, {"X-Tenant-ID": "acme"}, {"X-Tenant-ID": "globex"}, id="tenants"),
        pytest.param({}, {"X-Tenant-ID": "acme"}, {}, id="a tenant and a caller without"),
    ],
)
async def test_a_client_that_uses_less_gets_the_place_of_a_greedy_one(
    mock: str, settings: dict[str, object], greedy: dict[str, str], modest: dict[str, str]
) -> None:
    async with service(mock, **settings) as running:
        (bulkhead,) = running.bulkheads
        await bulkhead.take("acme")
        displaced = asyncio.create_task(bulkhead.take("acme"))
        await asyncio.sleep(0)
        assert (await running.ask(headers=greedy)).status_code == 503
        assert running.value("llm_requests_total") == 0
        answer = asyncio.create_task(running.ask(headers=modest))
        await asyncio.wait([displaced])
        bulkhead.release("acme")
        assert (await answer).status_code == 200
    assert running.value("llm_shed_total", reason="full") == 1


async def test_a_request_without_a_key_is_refused_for_that(mock: str) -> None:
    async with service(mock, client={"keys": CLIENT_KEYS}) as running, taken(*running.bulkheads):
        assert (await running.ask()).status_code == 401
    assert running.value("llm_shed_total") == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/readyz", 200),
        ("GET", "/metrics", 200),
        ("GET", "/openai/v1/models", 200),
        ("GET", CHAT, 405),
        ("OPTIONS", CHAT, 405),
        ("POST", f"{CHAT}/", 404),
        ("POST", "/nothing", 404),
    ],
)
async def test_other_requests_are_not_shed(mock: str, method: str, path: str, status: int) -> None:
    async with service(mock) as running, taken(*running.bulkheads):
        assert (await running.http.request(method, path)).status_code == status


async def test_requests_that_are_shed_do_not_count_for_their_client(mock: str) -> None:
    async with service(mock, client={"requests_per_minute": 2}) as running:
        async with taken(*running.bulkheads):
            assert {(await running.ask()).status_code for _ in range(5)} == {503}
        answers = [await running.ask() for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


# --- Several providers --------------------------------------------------------------------------

BOTH = {"llm_providers": "openai,anthropic"}


async def test_while_one_provider_has_a_free_connection_no_request_is_shed(mock: str) -> None:
    async with service(mock, **BOTH) as running, taken(running.bulkheads[0]):
        answer = await running.ask()
    assert answer.json()["provider"] == "anthropic"


async def test_while_both_queues_are_full_the_body_is_not_read(mock: str) -> None:
    async with service(mock, **BOTH) as running, taken(*running.bulkheads):
        assert await refused_unread(running.app) == 503
        assert await refused_unread(running.app, OPENAI_CHAT) == 503


@asynccontextmanager
async def first_full_second_busy(running: Running) -> AsyncIterator[None]:
    """The queue of the second provider has a place, for requests that name it."""
    first, second = running.bulkheads
    async with taken(first), taken(second, queued=0):
        yield


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="plain"),
        pytest.param({"model": "other"}, id="a model of the first"),
        pytest.param({"messages": [{"role": "user", "content": '"provider"'}]}, id="in a text"),
    ],
)
async def test_a_request_without_a_provider_is_refused_by_the_queue_of_the_first(
    mock: str, more: dict[str, Any]
) -> None:
    async with service(mock, **BOTH) as running, first_full_second_busy(running):
        answer = await running.ask(**more)
    assert answer.status_code == 503
    assert running.value("llm_requests_total") == 0


async def test_a_request_that_names_the_second_provider_waits_in_its_queue(mock: str) -> None:
    async with service(mock, **BOTH) as running:
        async with first_full_second_busy(running):
            answer = asyncio.create_task(running.ask(provider="anthropic"))
            while not running.bulkheads[1].waiting:  # noqa: ASYNC110 - the queue has no event
                await asyncio.sleep(0.001)
        assert (await answer).json()["provider"] == "anthropic"


@pytest.mark.parametrize("size", [1, 10, 1000], ids=lambda size: f"{size} bytes")
async def test_a_body_in_pieces_goes_on_whole(mock: str, size: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        body = json.dumps({**QUESTION, "provider": "unknown"}).encode()
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async with service(mock, **BOTH) as running, first_full_second_busy(running):
        headers = {"Content-Type": "application/json"}
        answer = await running.http.post(CHAT, content=pieces(), headers=headers)
    assert answer.json()["type"] == "urn:problem:unknown-provider"


@pytest.mark.parametrize("path", EMBEDDINGS)
async def test_embeddings_are_refused_by_the_queue_of_the_provider_that_makes_them(
    mock: str, path: str
) -> None:
    async with service(mock, llm_providers="anthropic,openai") as running:
        openai = running.bulkheads[1]
        async with taken(openai):
            assert await refused_unread(running.app, path) == 503
            assert (await running.ask()).json()["provider"] == "anthropic"
    assert running.value("llm_shed_total", provider="openai", reason="full") == 1


async def test_embeddings_do_not_wait_for_the_queue_of_another_provider(mock: str) -> None:
    providers = "anthropic,openai"
    async with service(mock, llm_providers=providers) as running, taken(running.bulkheads[0]):
        answer = await running.http.post("/v1/embeddings", json={"texts": ["one"]})
    assert answer.status_code == 200


# --- Cached answers -------------------------------------------------------------------------------


async def test_cached_answers_are_given_during_an_overload(mock: str) -> None:
    async with service(mock, enable_caching=True) as running:
        await running.ask()
        async with taken(*running.bulkheads):
            answers = [await running.ask() for _ in range(50)]
    assert {answer.json().get("cached") for answer in answers} == {True}


async def test_few_requests_are_looked_up_in_vain(mock: str) -> None:
    async with service(mock, enable_caching=True) as running, taken(*running.bulkheads):
        started = asyncio.get_running_loop().time()
        answers = [await running.ask(max_tokens=number + 1) for number in range(50)]
        lasted_s = asyncio.get_running_loop().time() - started
        looked_up = running.value("llm_requests_total")
        assert running.value("llm_shed_total", reason="full") == 50
    assert {answer.status_code for answer in answers} == {503}
    assert 5 <= looked_up <= 5 + 100 * lasted_s + 1
