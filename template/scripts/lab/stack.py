"""The real service with the mock API as its providers, in this process."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256

from fakeredis import FakeAsyncRedis, FakeServer
from httpx2 import AsyncClient
from starlette.types import ASGIApp, Receive, Scope, Send

import app.llm.http
import app.redis.backend
from app.main import create_app
from app.redis.client import SharedRedis
from app.settings import Settings
from mock_api.application import create_app as create_mock
from scripts.lab.clock import replaced
from scripts.lab.connection import Connection
from scripts.lab.incident import Incident
from scripts.lab.loop import now
from scripts.lab.recording import Called, Recording

PROVIDERS = {"/v1/chat/completions": "openai", "/v1/messages": "anthropic"}


class _Redis(FakeAsyncRedis):
    """A Redis in memory. When it is gone no command is answered, as behind a broken network."""

    def __init__(self, switch: "Switch") -> None:
        super().__init__(server=FakeServer())  # otherwise all plays of a process share one
        self._switch = switch

    async def execute_command(self, *args: object, **options: object) -> object:
        if self._switch.is_gone:
            await asyncio.Event().wait()
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]  # fakeredis has no types here


@dataclass
class Switch:
    """Whether Redis is gone."""

    is_gone: bool = False


@dataclass
class Lab:
    client: AsyncClient
    control: AsyncClient  # of the mock API
    redis: Switch
    recording: Recording
    started_at: float = field(default_factory=now)

    @property
    def elapsed_s(self) -> float:
        return now() - self.started_at


@asynccontextmanager
async def running(incident: Incident) -> AsyncIterator[Lab]:
    """The service, from its start to its end. It reads no file and no variable of this machine."""
    recording = Recording()
    mock = create_mock()
    redis = Switch()
    async with AsyncExitStack() as opened:
        _connect(opened, _Counted(mock, recording), redis)
        service = create_app(settings_of(incident))
        await opened.enter_async_context(service.router.lifespan_context(service))
        client = await opened.enter_async_context(_client(service))
        control = await opened.enter_async_context(_client(mock))
        yield Lab(client, control, redis, recording)


def settings_of(incident: Incident, **more: str) -> Settings:
    variables = {name: str(value) for name, value in incident.settings.items()} | more
    clients = sorted({load.client for load in incident.load if load.client})
    if clients:
        variables["CLIENT_KEYS"] = ",".join(f"{name}:{_digest(name)}" for name in clients)
        variables["CLIENT_AUTH"] = "required"
    if incident.uses_redis:
        variables["REDIS_URL"] = "redis://lab"
    with replaced(os, "environ", variables):
        return Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


def key_of(client: str) -> str:
    return f"ck_{client}"


def _digest(client: str) -> str:
    return sha256(key_of(client).encode()).hexdigest()


def _connect(opened: AsyncExitStack, mock: ASGIApp, switch: Switch) -> None:
    """Replace the network, and nothing else: pools, queues and guards are those of the service."""
    opened.enter_context(
        replaced(app.llm.http, "transport_class", lambda _name: lambda *_: Connection(mock))
    )
    opened.enter_context(redis_in_memory(switch))


def redis_in_memory(switch: Switch) -> AbstractContextManager[None]:
    """The service opens a Redis in memory, which is gone when the switch says so."""

    @asynccontextmanager
    async def open_redis(_url: str, prefix: str) -> AsyncIterator[SharedRedis]:
        async with _Redis(switch) as client, aclosing(SharedRedis(client, prefix)) as shared:
            yield shared

    return replaced(app.redis.backend, "open_redis", open_redis)


class _Counted:
    """Records each call to a provider before the mock API answers it."""

    def __init__(self, mock: ASGIApp, recording: Recording) -> None:
        self._mock = mock
        self._recording = recording
        self._started_at = now()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (provider := PROVIDERS.get(scope["path"])) is not None:
            self._recording.called.append(Called(provider, now() - self._started_at))
        await self._mock(scope, receive, send)


def _client(application: ASGIApp) -> AsyncClient:
    return AsyncClient(transport=Connection(application), base_url="http://service", timeout=None)
