"""The running service for tests: in this process, or at a real socket where that matters."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from app.cache import Cache, MemoryCache
from app.connections import Connections
from app.http_protocol import HTTPProtocol
from app.http_server import Server
from app.llm.embedding_batches import EmbeddingBatches
from app.llm.model import Model
from app.llm.pools import Gate
from app.main import create_app
from app.network import ssl_context
from app.resilience.health import Health
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.wiring import Service

QUESTION = {"messages": [{"role": "user", "content": "Hi"}]}
STREAMED = {**QUESTION, "stream": True}


@dataclass
class DeadCache(MemoryCache):
    """A cache that is down, or hangs."""

    hangs: bool = False
    pings: int = field(default=0, init=False)

    async def ping(self) -> bool:
        self.pings += 1
        if self.hangs:
            await asyncio.sleep(3600)
        return False


@dataclass(frozen=True)
class RunningService:
    app: FastAPI
    http: httpx2.AsyncClient

    async def ask(self, **changes: Any) -> httpx2.Response:
        return await self.http.post("/v1/chat", json={**QUESTION, **changes})


@asynccontextmanager
async def opened(
    model: Model,
    *,
    cache: Cache | None = None,
    health: Mapping[str, Health] | None = None,
    **settings: Any,
) -> AsyncIterator[RunningService]:
    app = service_with(model, cache=cache, health=health, **settings)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield RunningService(app, client)


def service_with(
    model: Model,
    *,
    cache: Cache | None = None,
    health: Mapping[str, Health] | None = None,
    gates: Mapping[str, Gate] | None = None,
    **settings: Any,
) -> FastAPI:
    @asynccontextmanager
    async def opener(_settings: Settings, _metrics: Metrics) -> AsyncIterator[Service]:
        embeddings = EmbeddingBatches(model, limit=4)
        yield Service(
            chat=model,
            embeddings=embeddings,
            cache=cache or MemoryCache(),
            health=health or {},
            gates=gates or {},
        )

    return create_app(Settings(**settings), opener=opener)


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """Serve over a real socket, for effects that an in-process transport does not have."""
    async with (
        serving(app) as (_, url),
        httpx2.AsyncClient(base_url=url, verify=ssl_context()) as client,
    ):
        yield client


@asynccontextmanager
async def serving(
    app: FastAPI,
    *,
    protocol: type[HTTPProtocol] = HTTPProtocol,
    places: Connections | None = None,
    drain_s: int | None = None,
    delay_s: float = 0.0,
    keep_alive_s: int = 75,
) -> AsyncIterator[tuple[Server, str]]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=2_000)
    config = uvicorn.Config(
        app,
        http=protocol,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=drain_s,
        timeout_keep_alive=keep_alive_s,
    )
    places = places or Connections(total=2_000, per_address=2_000)
    server = Server(config, places, shutdown_delay_s=delay_s)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    host, port = listener.getsockname()
    try:
        yield server, f"http://{host}:{port}"
    finally:
        server.should_exit = True
        await task


def events_of(text: str) -> list[tuple[str, str]]:
    """Read a stream of events naively, as a reader that splits lines as Python does would."""
    fields = [line.partition(": ")[::2] for line in text.splitlines() if line and line[0] != ":"]
    names = [value for name, value in fields if name == "event"]
    data = [value for name, value in fields if name == "data"]
    return list(zip(names, data, strict=True))
