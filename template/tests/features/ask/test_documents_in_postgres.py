"""`/v1/ask` with `DOCUMENTS_STORE=postgres`: an outage, and a database that cannot be used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from app.main import create_app
from app.settings import Settings
from app.testing import CapturedLogs
from mock_api.application import create_app as create_mock

QUESTION = {"question": "How many questions a day?"}
CHAT = {"messages": [{"role": "user", "content": "Hello"}]}


@asynccontextmanager
async def service(url: str, **more: Any) -> AsyncIterator[httpx2.AsyncClient]:
    values: dict[str, Any] = {
        "documents": {"store": "postgres", "postgres_url": url, **more},
        "health_probe_interval_s": 0,
    }
    app = create_app(Settings(**values), transport=httpx2.ASGITransport(create_mock()))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as http,
    ):
        yield http


@asynccontextmanager
async def hanging() -> AsyncIterator[str]:
    """A server that accepts connections and never answers."""
    ended = asyncio.Event()

    async def wait(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://user:canary@127.0.0.1:{port}/docs"
        ended.set()


@asynccontextmanager
async def closed() -> AsyncIterator[str]:
    yield "postgresql://user:canary@127.0.0.1:1/docs"


@pytest.mark.parametrize("broken", [closed, hanging])
async def test_without_postgres_questions_get_a_503_and_chats_are_answered(
    broken: Any, logs: CapturedLogs
) -> None:
    async with broken() as url, service(url, postgres_timeout_s=0.1) as http:
        refused = await http.post("/v1/ask", json=QUESTION)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
        assert "Postgres" in refused.json()["detail"]
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        assert {"postgres", "documents"} <= set(ready.json()["degraded"])
        assert (await http.post("/v1/chat", json=CHAT)).status_code == 200
    (line,) = logs.events("postgres.unavailable")
    assert line["reason"] in {"no connection", "no answer in time"}
    assert "canary" not in str(logs.lines)
    assert not [line for line in logs.lines if "exception" in line]
