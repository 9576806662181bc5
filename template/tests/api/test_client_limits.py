"""Each client is held to its limits, by requests that really pass the service."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx2
import pytest

from app.main import create_app
from app.settings import Settings
from app.testing import CapturedLogs
from mock_api.application import create_app as create_mock
from tests.client_keys import CLIENT_KEYS, KEYS, bearer

ACME, GLOBEX = (bearer(KEYS[name]) for name in ("acme", "globex"))


@asynccontextmanager
async def service(
    clients: dict[str, dict[str, object]] | None = None,
    *,
    keys: str | None = CLIENT_KEYS,
    others: Mapping[str, object] | None = None,
    **limits: object,
) -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(client={"keys": keys, **limits}, clients=clients or {}, **(others or {}))  # type: ignore[arg-type]
    app = create_app(settings, transport=httpx2.ASGITransport(create_mock()))
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


async def ask(
    http: httpx2.AsyncClient, text: str = "Hi", client: dict[str, str] = ACME, **more: object
) -> httpx2.Response:
    body = {"messages": [{"role": "user", "content": text}], **more}
    return await http.post("/v1/chat", json=body, headers=client)


async def metric(http: httpx2.AsyncClient, name: str, labels: str) -> float:
    lines = (await http.get("/metrics")).text.splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{{labels}}}")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


async def test_requests_above_the_limit_are_a_429_with_the_time_to_wait() -> None:
    async with service(requests_per_minute=3) as http:
        answers = [await ask(http, str(number)) for number in range(5)]
        another = await ask(http, client=GLOBEX)
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert another.status_code == 200
    refused = answers[-1]
    assert refused.json()["type"] == "urn:problem:client-limit-reached"
    assert "3 requests a minute" in refused.json()["detail"]
    assert 0 < int(refused.headers["Retry-After"]) <= 65
    wait = refused.headers["Retry-After"]
    assert refused.headers["RateLimit"] == f'"requests";r=0;t={wait}'
    assert refused.headers["RateLimit-Policy"] == '"requests";q=3;w=60'


async def test_answers_say_what_is_left_of_the_limits() -> None:
    async with service(requests_per_minute=3, tokens_per_minute=100_000) as http:
        answer = await ask(http)
    assert answer.headers["RateLimit-Policy"] == '"requests";q=3;w=60, "tokens";q=100000;w=60'
    left = answer.headers["RateLimit"]
    assert left.startswith('"requests";r=2;t=60, "tokens";r=')


async def test_without_limits_an_answer_has_no_rate_limit_fields() -> None:
    async with service() as http:
        answer = await ask(http)
    assert not {"ratelimit", "ratelimit-policy"} & set(answer.headers)


async def test_a_client_has_limits_of_its_own() -> None:
    async with service({"globex": {"requests_per_minute": 1}}, requests_per_minute=2) as http:
        acme = [(await ask(http)).status_code for _ in range(3)]
        globex = [(await ask(http, client=GLOBEX)).status_code for _ in range(2)]
    assert (acme, globex) == ([200, 200, 429], [200, 429])


async def test_without_keys_all_callers_together_are_one_client() -> None:
    async with service(keys=None, requests_per_minute=2) as http:
        statuses = [(await ask(http, client=each)).status_code for each in (ACME, GLOBEX, {})]
    assert statuses == [200, 200, 429]


async def test_probes_and_pages_do_not_count() -> None:
    async with service(requests_per_minute=1) as http:
        for path in ("/healthz", "/readyz", "/metrics", "/docs") * 2:
            assert (await http.get(path)).status_code == 200
        assert (await ask(http)).status_code == 200


async def test_tokens_are_counted_by_the_usage_and_not_by_the_estimate() -> None:
    """The estimate is max_tokens, 1024 by default; the mock's answers have some 20 tokens."""
    async with service(tokens_per_minute=100) as http:
        answers = [await ask(http, f"Question {number}") for number in range(30)]
        used = await metric(http, "client_tokens_total", 'client="acme"')
    statuses = [answer.status_code for answer in answers]
    served = statuses.index(429)
    assert served > 1
    assert set(statuses[served:]) == {429}
    totals = [answer.json()["usage"]["total_tokens"] for answer in answers[:served]]
    assert sum(totals[:-1]) < 100 <= sum(totals) == used


async def test_a_cached_answer_costs_no_tokens_and_no_money() -> None:
    async with service(tokens_per_minute=1000, budget_usd_per_day=1) as http:
        await ask(http)
        before = await metric(http, "client_tokens_total", 'client="acme"')
        cost = await metric(http, "client_cost_usd_total", 'client="acme"')
        assert (await ask(http)).json()["cached"]
        assert await metric(http, "client_tokens_total", 'client="acme"') == before > 0
        assert await metric(http, "client_cost_usd_total", 'client="acme"') == cost > 0


async def test_a_spent_budget_is_a_402_with_the_time_it_renews(logs: CapturedLogs) -> None:
    async with service(budget_usd_per_day=0.000_001) as http:
        first, second = await ask(http, "One"), await ask(http, "Two")
    assert (first.status_code, second.status_code) == (200, 402)
    problem = second.json()
    assert problem["type"] == "urn:problem:budget-spent"
    assert problem["details"]["renews_at"].endswith("T00:00:00Z")
    assert problem["details"]["renews_at"] in problem["detail"]
    assert 0 < int(second.headers["Retry-After"]) <= 24 * 3600
    assert logs.events("client.limited")[0]["limit"] == "budget"


async def test_concurrent_requests_above_the_limit_are_refused_and_places_become_free() -> None:
    async with service(concurrency=2) as http:
        for _ in range(3):
            questions = [ask(http, f"Question {number}") for number in range(6)]
            statuses = sorted(answer.status_code for answer in await asyncio.gather(*questions))
            assert statuses == [200] * 2 + [429] * 4


async def test_a_client_with_one_place_is_never_refused_one_after_the_other() -> None:
    async with service(concurrency=1) as http:
        for number in range(10):
            assert (await ask(http, str(number), stream=number % 2 == 0)).status_code == 200


@pytest.mark.parametrize("body", [{}, {"messages": []}], ids=["empty", "no message"])
async def test_an_invalid_request_gives_its_place_back(body: dict[str, object]) -> None:
    async with service(concurrency=1, tokens_per_minute=1) as http:
        for _ in range(2):
            assert (await http.post("/v1/chat", json=body, headers=ACME)).status_code == 422


async def test_a_stream_is_settled_by_its_usage() -> None:
    async with service(tokens_per_minute=1000) as http:
        answer = await ask(http, stream=True)
        used = await metric(http, "client_tokens_total", 'client="acme"')
    assert f'"total_tokens":{used:.0f}' in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/embeddings", {"texts": ["One text", "Another text"]}),
        ("/v1/extract", {"text": "Invoice 7: 100 bolts for 12 EUR."}),  # feature: extract
    ],
)
async def test_other_endpoints_are_settled_too(path: str, body: dict[str, object]) -> None:
    async with service(tokens_per_minute=1) as http:
        first = await http.post(path, json=body, headers=ACME)
        second = await http.post(path, json=body, headers=ACME)
        used = await metric(http, "client_tokens_total", 'client="acme"')
    assert first.status_code != 429
    assert second.status_code == 429
    assert used > 0


async def test_a_long_answer_has_to_be_reserved_before_it_is_made() -> None:
    """Two requests at once: the first reserves more than the limit, and the second finds nothing left."""
    async with service(tokens_per_minute=5000) as http:
        questions = [ask(http, f"Question {n}", max_tokens=50_000) for n in range(2)]
        answers = await asyncio.gather(*questions)
    assert sorted(answer.status_code for answer in answers) == [200, 429]


@pytest.mark.parametrize("stream", [False, True])
async def test_max_tokens_above_the_ceiling_is_a_422(*, stream: bool) -> None:
    async with service(others={"max_tokens_limit": 2000}) as http:
        assert (await ask(http, max_tokens=2000, stream=stream)).status_code == 200
        answer = await ask(http, max_tokens=2001, stream=stream)
    assert answer.status_code == 422
    assert answer.json()["detail"] == "max_tokens must be at most 2000"


async def test_only_allowed_and_configured_models_may_be_named() -> None:
    others = {"allowed_models": ["gpt-5"], "openai": {"model": "gpt-5-mini"}}
    async with service(others=others) as http:
        allowed = [await ask(http, model=name) for name in ("gpt-5", "gpt-5-mini", None)]
        refused = await ask(http, model="gpt-5-pro")
    assert [answer.status_code for answer in allowed] == [200] * 3
    assert refused.status_code == 403
    assert refused.json()["type"] == "urn:problem:model-not-allowed"
