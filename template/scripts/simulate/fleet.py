"""Replicas of the real service in one process: only the network, Redis and the provider are simulated.

The stack is that of `app.wiring`: every guard, the client of the provider and its queue. There is no
web server: a request begins where its body has been read and its client is known.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import app.llm.http
import app.redis.backend
from app.clients.account import current_account
from app.errors import LLMError
from app.llm.types import ChatRequest, Message
from app.redis.client import SharedRedis
from app.resilience.race import cancel_and_wait
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.wiring import Service, open_service
from scripts.lab.clock import replaced
from scripts.simulate.provider import Pool, Provider
from scripts.simulate.recording import ANSWERED
from scripts.simulate.redis_server import RedisClient, RedisServer

_BODY_BYTES = 200


@dataclass
class Fleet:
    """A replica that is `None` is not there: it restarts."""

    settings: Settings
    redis: RedisServer
    provider: Provider
    replicas: list["Replica | None"]
    metrics: Metrics

    async def start(self, index: int) -> None:
        self.replicas[index] = await Replica.start(self.settings, self.metrics)

    async def stop(self, index: int) -> None:
        """End the process; its requests lose their connections."""
        replica, self.replicas[index] = self.replicas[index], None
        if replica is not None:
            await replica.stop()

    async def stop_all(self) -> None:
        for index in range(len(self.replicas)):
            await self.stop(index)

    async def start_all(self) -> None:
        for index in range(len(self.replicas)):
            await self.start(index)

    async def ask(self, index: int, question: str, client: str) -> str | None:
        """The outcome of a request; `None`: there is no connection, or it was lost."""
        replica = self.replicas[index]
        return None if replica is None else await replica.ask(question, client)


@dataclass
class Replica:
    service: Service
    opened: AsyncExitStack
    requests: set[asyncio.Task[str]] = field(default_factory=set)

    @classmethod
    async def start(cls, settings: Settings, metrics: Metrics) -> "Replica":
        opened = AsyncExitStack()
        service = await opened.enter_async_context(open_service(settings, metrics=metrics))
        return cls(service, opened)

    async def stop(self) -> None:
        await cancel_and_wait(self.requests)
        await self.opened.aclose()

    async def ask(self, question: str, client: str) -> str | None:
        request = asyncio.create_task(self._outcome(question, client))
        self.requests.add(request)
        try:
            await asyncio.wait([request])
        finally:
            self.requests.discard(request)
        return None if request.cancelled() else request.result()

    async def _outcome(self, question: str, client: str) -> str:
        try:
            await self._complete(ChatRequest((Message("user", question),), max_tokens=200), client)
        except LLMError as error:
            return type(error).__name__
        return ANSWERED

    async def _complete(self, request: ChatRequest, client: str) -> None:
        """As `app.api.middleware.client_limits` does it."""
        accounts = self.service.accounts
        if accounts is None:
            await self.service.chat.complete(request)
            return
        account = await accounts.open(client, _BODY_BYTES)
        current_account.set(account)  # the context of this task only
        try:
            await self.service.chat.complete(request)
        finally:
            await account.settle()


@asynccontextmanager
async def running(
    replicas: int, variables: Mapping[str, str], redis: RedisServer, provider: Provider
) -> AsyncIterator[Fleet]:
    with _simulated(redis, provider):
        fleet = Fleet(settings_of(variables), redis, provider, [None] * replicas, Metrics())
        try:
            await fleet.start_all()
            yield fleet
        finally:
            await fleet.stop_all()


def settings_of(variables: Mapping[str, str]) -> Settings:
    """Read no file and no variable of this machine."""
    common = {
        "LLM_PROVIDERS": "openai",
        "REDIS_URL": "redis://simulated",
        "REDIS_PREFIX": "ai-service:dev",  # by default the project's name: the bytes depend on it
    }
    with replaced(os, "environ", common | dict(variables)):
        return Settings(_env_file=None)  # pyright: ignore[reportCallIssue]


@contextmanager
def _simulated(redis: RedisServer, provider: Provider) -> Iterator[None]:
    @asynccontextmanager
    async def open_redis(_url: str, prefix: str) -> AsyncIterator[SharedRedis]:
        connections = RedisClient(redis)
        try:
            async with aclosing(SharedRedis(connections, prefix)) as shared:
                yield shared
        finally:
            connections.close_all()

    with ExitStack() as patches:
        patches.enter_context(
            replaced(app.llm.http, "transport_class", lambda _name: lambda *_: Pool(provider))
        )
        patches.enter_context(replaced(app.redis.backend, "open_redis", open_redis))
        yield
