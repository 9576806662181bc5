"""The ways that a chat request can take, each made on purpose: in one process, with the mock API."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from starlette.types import ASGIApp

from app.main import create_app
from app.resilience.retry import RetryPolicy
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.testing import captured_logs
from app.wiring import Service, open_service
from mock_api.application import create_app as create_mock
from scripts.walk.recorder import Walk, recorded


@dataclass(frozen=True, slots=True)
class Way:
    title: str
    fault: dict[str, Any] = field(default_factory=dict)  # what the mock API does wrong
    body: dict[str, Any] = field(default_factory=dict)
    is_repeated: bool = False  # the same question was answered before


_OPENAI = "/v1/chat/completions"
WAYS = {
    "plain": Way("The first provider answers"),
    "cached": Way("The same question again: the cache answers", is_repeated=True),
    "retried": Way(
        "The provider fails once, and the second attempt succeeds",
        fault={"status": 500, "times": 1, "path": _OPENAI},
    ),
    "fallen-back": Way(
        "The provider refuses the service's key, and the next provider answers",
        fault={"status": 401, "path": _OPENAI},
    ),
    "streamed": Way("The answer is streamed", body={"stream": True}),
}


async def walks(names: list[str]) -> dict[str, Walk]:
    """Send one request on each way, and return the steps that it took."""
    mock = create_mock()
    with captured_logs("INFO"):
        return await _walks(names, mock)


async def _walks(names: list[str], mock: ASGIApp) -> dict[str, Walk]:
    async with (
        _client(mock) as control,
        _running(mock) as service,
        _client(service) as client,
    ):
        await client.post(
            "/v1/chat", json=_question("warm up")
        )  # the first request imports modules
        return {name: await _walk(WAYS[name], name, client, control) for name in names}


async def _walk(way: Way, question: str, client: AsyncClient, control: AsyncClient) -> Walk:
    body = {**_question(question), **way.body}
    if way.is_repeated:
        await client.post("/v1/chat", json=body)
    if way.fault:
        await control.put("/_mock/faults", json=way.fault)
    with recorded() as walk:
        answer = await client.post("/v1/chat", json=body)
    answer.raise_for_status()
    await control.delete("/_mock/faults")
    return walk


def _question(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


@asynccontextmanager
async def _running(mock: ASGIApp) -> AsyncIterator[FastAPI]:
    def opener(settings: Settings, metrics: Metrics) -> AbstractAsyncContextManager[Service]:
        return open_service(settings, transport=ASGITransport(mock), metrics=metrics)

    # The defaults: no variable and no file of this machine is read.
    settings = Settings.model_construct(retry=RetryPolicy(base_delay_s=0.001))
    service = create_app(settings, opener=opener)
    async with service.router.lifespan_context(service):
        yield service


def _client(application: ASGIApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(application), base_url="http://service")
