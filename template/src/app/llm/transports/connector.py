"""aiohttp's pool of connections, changed where it would lose a good connection or a known status."""

import asyncio
import select
import socket
import sys
from functools import partial
from ssl import SSLContext
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler

from app.llm.transports.resolver import resolve

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_END_OF_HEAD = b"\r\n\r\n"


class ClosedWhileIdleError(aiohttp.ServerDisconnectedError):
    """The server closed a connection while its next request was on the way, and answered nothing."""


class _Resolver(AbstractResolver):
    """Resolves each name in a thread of its own."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return await resolve(host, port, family)

    async def close(self) -> None:
        """There is nothing to close."""


class Connector(aiohttp.TCPConnector):
    """Discards an idle connection that its server has closed.

    aiohttp notices that when the event loop next reads. A call in the same turn of the loop would
    be sent into the closed connection and fail, although its provider is well. A server that closes
    a moment later raises `ClosedWhileIdleError`.
    """

    def __init__(self, certificates: SSLContext, *, keep_idle_s: float) -> None:
        super().__init__(
            limit=0,  # `app.llm.pools` limits the calls: aiohttp's limit has no timeout of its own
            ssl=certificates,
            resolver=_Resolver(),
            keepalive_timeout=keep_idle_s,
        )
        self._factory = partial(_Handler, loop=self._loop)  # type: ignore[assignment]  # a subclass

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: "list[Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the base class's name
    ) -> "Connection":
        connection = await super().connect(req, traces, timeout)
        while _is_stale(connection):
            connection.close()
            connection = await super().connect(req, traces, timeout)
        return connection


def _is_stale(connection: "Connection") -> bool:
    handler = connection.protocol
    if not isinstance(handler, _Handler):
        return False
    handler.is_reused, handler.was_used = handler.was_used, True
    return handler.is_reused and _has_ended(handler.transport)


def _has_ended(transport: asyncio.Transport | None) -> bool:
    """Whether an idle connection can be read: its server has nothing else to send than the end."""
    socket = None if transport is None else transport.get_extra_info("socket")
    if socket is None or socket.fileno() < 0:
        return True
    if sys.platform == "win32":
        return bool(select.select([socket], [], [], 0)[0])
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))


class _Handler(ResponseHandler):
    """Parses the head of an answer before its body, and reports a body that is not valid.

    If both arrive in one piece and the body is not valid, aiohttp's parser loses the head too, and
    with it the status, which decides what happens next. If the body arrives later, its reader would
    wait for ever: the error is known to the connection only.
    """

    was_used = False
    # The connection had an earlier call, and nothing has arrived since the present one began.
    is_reused = False

    def data_received(self, data: bytes) -> None:
        self.is_reused = False
        while data.startswith(b"HTTP/"):
            head, end, data = data.partition(_END_OF_HEAD)
            super().data_received(head + end)
            if not data:
                return
        super().data_received(data)  # empty: a reader has caught up, and the parser goes on

    def set_exception(self, exc: BaseException, exc_cause: BaseException | None = None) -> None:
        body = self._payload
        if self.is_reused and isinstance(
            exc, aiohttp.ClientOSError | aiohttp.ServerDisconnectedError
        ):
            exc = ClosedWhileIdleError(str(exc))
        super().set_exception(exc, *([] if exc_cause is None else [exc_cause]))
        if body is not None and body.exception() is None and not body.is_eof():
            body.set_exception(aiohttp.ClientPayloadError(str(exc)))
