"""Two clients share nothing: no cached answer, no call in flight, no line of the log."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from app.main import create_app
from app.settings import Settings
from app.testing import CapturedLogs
from mock_api.application import create_app as create_mock
from tests.client_keys import CLIENT_KEYS, KEYS, bearer
from tests.running_service import QUESTION, STREAMED

ACME, GLOBEX = (bearer(KEYS[name]) for name in ("acme", "globex"))


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    settings = Settings(client={"keys": CLIENT_KEYS})  # type: ignore[arg-type]  # as from YAML
    app = create_app(settings, transport=httpx2.ASGITransport(create_mock()))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app), base_url="http://service"
        ) as client,
    ):
        yield client


async def test_tenants_never_share_an_answer(http: httpx2.AsyncClient) -> None:
    customers = [{**ACME, "X-Tenant-ID": f"acme:{number}"} for number in range(2)]
    for headers in (ACME, GLOBEX, *customers):
        first = await http.post("/v1/chat", json=QUESTION, headers=headers)
        second = await http.post("/v1/chat", json=QUESTION, headers=headers)
        assert (first.json()["cached"], second.json()["cached"]) == (False, True)


@pytest.mark.parametrize("body", [QUESTION, STREAMED], ids=["whole", "stream"])
async def test_tenants_never_share_a_call_in_flight(
    http: httpx2.AsyncClient, logs: CapturedLogs, body: dict[str, object]
) -> None:
    both = [http.post("/v1/chat", json=body, headers=headers) for headers in (ACME, GLOBEX) * 3]
    assert all(answer.is_success for answer in await asyncio.gather(*both))
    calls = [line for line in logs.events("llm.call") if line["outcome"] == "ok"]
    assert sorted(line["client"] for line in calls) == ["acme", "globex"]


async def test_each_line_of_a_request_names_its_client_only(
    http: httpx2.AsyncClient, logs: CapturedLogs
) -> None:
    both = [http.post("/v1/chat", json=QUESTION, headers=headers) for headers in (ACME, GLOBEX)]
    answers = await asyncio.gather(*both)
    for answer, name in zip(answers, ("acme", "globex"), strict=True):
        found = answer.headers["X-Request-ID"]
        lines = [line for line in logs.lines if line.get("request_id") == found]
        assert {line["client"] for line in lines if "client" in line} == {name}
