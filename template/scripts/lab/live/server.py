"""The servers of the lab, on one loop: they share its clock, and none of them listens to signals."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from app.connections import Connections
from app.http_server import Server
from app.resilience.race import cancel_and_wait

HOST = "127.0.0.1"

_GRACE_S = 1
_CONNECTIONS = 2000


class _Quiet(uvicorn.Server):
    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        except SystemExit as error:  # it would end the lab
            raise RuntimeError("the server did not start; its log has the reason") from error

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The lab ends its servers in order: a signal is for all of them."""
        yield


class _QuietService(_Quiet, Server):
    """The server of the service itself."""


def listener(port: int, variable: str) -> socket.socket:
    """The port of a server; one that is in use ends the program with one line."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sys.stderr.write(f"make lab: port {port}: {reason}\n")
        sys.exit(f"Choose another one: {variable}={port + 10} make lab")


def address(listening: socket.socket) -> str:
    return f"http://{HOST}:{listening.getsockname()[1]}"


def as_service(application: ASGIApp) -> uvicorn.Server:
    """The server and the protocol of `app.server`."""
    config = _config(application, http="app.http_protocol:HTTPProtocol")
    return _QuietService(config, Connections(total=_CONNECTIONS, per_address=_CONNECTIONS))


def as_page(application: ASGIApp) -> uvicorn.Server:
    return _Quiet(_config(application, http="auto"))


def _config(application: ASGIApp, *, http: str) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=http,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_GRACE_S,
    )


@asynccontextmanager
async def serving(server: uvicorn.Server, listening: socket.socket) -> AsyncIterator[None]:
    """The server on the port. Afterwards the port still waits for the next server."""
    task = asyncio.create_task(server.serve([listening.dup()]))
    try:
        while not server.started:
            if task.done():
                task.result()
                raise RuntimeError("the server did not start")
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = True
        if not task.done():
            await asyncio.wait([task], timeout=10 * _GRACE_S)
        await cancel_and_wait([task])
