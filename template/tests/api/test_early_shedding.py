"""A request that no provider has a place for is refused before its body is read."""

import asyncio
from collections.abc import Iterator

import pytest

from app.testing import CapturedLogs
from mock_api.testing import running_server
from tests.api.shedding import (
    ACME,
    CHAT,
    EMBEDDINGS,
    GLOBEX,
    OPENAI_CHAT,
    refused_unread,
    service,
    taken,
)
from tests.client_keys import CLIENT_KEYS


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with running_server() as url:
        yield url


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
