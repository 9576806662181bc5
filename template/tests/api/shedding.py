"""A service with providers that have no place free, for tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi import FastAPI
from starlette.types import Message

from app.main import create_app
from app.resilience.bulkhead import Bulkhead
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.testing import CapturedMetrics
from app.wiring import Service, open_service
from tests.client_keys import KEYS, bearer
from tests.running_service import QUESTION

CHAT, OPENAI_CHAT = "/v1/chat", "/openai/v1/chat/completions"
EMBEDDINGS = ["/v1/embeddings", "/openai/v1/embeddings"]
ACME, GLOBEX = bearer(KEYS["acme"]), bearer(KEYS["globex"])


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
