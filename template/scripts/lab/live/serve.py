"""`make lab`: the page, the service and the mock API, natively and for this machine only."""

import asyncio
import os
import re
import signal
import sys
from contextlib import AsyncExitStack, ExitStack

from app.telemetry.logging import LogPolicy, configure
from mock_api.application import create_app as create_mock
from scripts.lab import clock
from scripts.lab.live.application import Page
from scripts.lab.live.bus import Bus, Event
from scripts.lab.live.director import Director
from scripts.lab.live.server import address, as_page, listener, serving
from scripts.lab.live.stage import Stage
from scripts.lab.live.tap import LogTap
from scripts.lab.live.watch import WatchedMock
from scripts.lab.paced import PacedLoop

_WHERE = """
  lab         {lab}
  service     {service}   (docs: {service}/docs)
  mock LLM    {mock}

  Choose an incident on the page. The service restarts with its settings, at the same address.
  `make lab INCIDENT=all` prints the pledges of all incidents. Ctrl-C stops everything.
"""


def serve() -> None:
    clock.run(_serve, PacedLoop)


async def _serve() -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    with ExitStack() as ports:
        lab, service, mock = (
            ports.enter_context(listener(_port(variable, usual), variable))
            for variable, usual in (("LAB_PORT", 8090), ("APP_PORT", 8000), ("MOCK_PORT", 9000))
        )
        bus = Bus(loop.time)
        configure(LogPolicy(format="json"), stream=LogTap(bus), cache_loggers=False)
        watched = WatchedMock(create_mock(), bus)
        addresses: Event = {"service": address(service), "mock": address(mock)}
        async with AsyncExitStack() as running:
            await running.enter_async_context(serving(as_page(watched), mock))
            director = Director(Stage(bus, watched, service, mock))
            page = Page(bus, director, addresses)
            await running.enter_async_context(serving(as_page(page.application()), lab))
            running.push_async_callback(director.close)
            running.callback(bus.close)
            await director.idle()
            print(_WHERE.format(lab=address(lab), **addresses), flush=True)
            await stopped.wait()


def _port(variable: str, usual: int) -> int:
    text = os.environ.get(variable) or str(usual)
    if not re.fullmatch("[0-9]{1,5}", text) or int(text) > 65535:  # noqa: PLR2004
        sys.exit(f"make lab: {variable}={text} is not a port; choose one from 1 to 65535")
    return int(text)
