"""The service with the settings of an incident, on its port, with real connections to the mock API."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI
from httpx2 import AsyncClient, Limits

from app.api.services import services_of
from app.main import create_app
from app.settings import Settings
from scripts.lab.incident import Incident
from scripts.lab.live import gauges
from scripts.lab.live.bus import Bus, Event
from scripts.lab.live.server import address, as_service, serving
from scripts.lab.live.watch import WatchedMock, WatchedService
from scripts.lab.recording import Recording
from scripts.lab.stack import Lab, Switch, redis_in_memory, settings_of

_GAUGES_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Stage:
    """The parts of the lab that stay from play to play: ports, the mock API, and the bus."""

    bus: Bus
    mock: WatchedMock
    service_port: socket.socket
    mock_port: socket.socket

    @asynccontextmanager
    async def running(self, name: str, incident: Incident) -> AsyncIterator[Lab]:
        """The service and its clients. The play begins with the first event of this block."""
        redis = Switch()
        async with AsyncExitStack() as opened:
            opened.enter_context(redis_in_memory(redis))
            limits = opened.enter_context(gauges.watched_limits())
            settings = self._settings(incident)
            service = create_app(settings)
            watched = WatchedService(service, self.bus, name)
            await opened.enter_async_context(serving(as_service(watched), self.service_port))
            client = await opened.enter_async_context(_client(address(self.service_port)))
            control = await opened.enter_async_context(_client(address(self.mock_port)))
            lab = Lab(client, control, redis, Recording())
            self.mock.begin(lab.recording, settings.llm_providers)
            gauging = asyncio.create_task(self._gauge(service, settings, limits))
            opened.callback(gauging.cancel)
            yield lab

    def _settings(self, incident: Incident) -> Settings:
        mock = address(self.mock_port)
        return settings_of(
            incident,
            OPENAI_BASE_URL=f"{mock}/v1",
            ANTHROPIC_BASE_URL=mock,
            PORT=str(self.service_port.getsockname()[1]),
        )

    async def _gauge(self, service: FastAPI, settings: Settings, limits: gauges.Watched) -> None:
        """Publish the gauges when one of them has changed."""
        metrics = services_of(service).metrics
        last: Event = {}
        while True:
            values = gauges.read(metrics, settings.llm_providers, limits)
            if values != last:
                self.bus.replace(values)
            last = values
            await asyncio.sleep(_GAUGES_EVERY_S)


def _client(base_url: str) -> AsyncClient:
    """The clients of an incident are many: none of them waits for a connection of another one."""
    limits = Limits(max_connections=None, max_keepalive_connections=None)
    return AsyncClient(base_url=base_url, timeout=None, limits=limits, trust_env=False)
