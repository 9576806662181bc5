"""Connects to an ASGI application in this process.

httpx2's own `ASGITransport` returns an answer when it is complete. This one returns the chunks of a
stream as they are sent, and the application sees when the caller disconnects.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2 as httpx
from starlette.types import ASGIApp, Message, Scope

from app.resilience.race import cancel_and_wait


class Connection(httpx.AsyncBaseTransport):
    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _Exchange(self._application, request, await request.aread())
        try:
            start = await exchange.next_message()
        except BaseException:
            await exchange.aclose()
            raise
        return httpx.Response(
            start["status"], headers=start["headers"], stream=exchange, request=request
        )


class _Exchange(httpx.AsyncByteStream):
    """One request, and the body of its answer."""

    def __init__(self, application: ASGIApp, request: httpx.Request, body: bytes) -> None:
        self._unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        self._sent: asyncio.Queue[Message | None] = asyncio.Queue()
        self._is_closed = asyncio.Event()
        self._task = asyncio.create_task(self._run(application, _scope(request)))

    async def next_message(self) -> Message:
        message = await self._sent.get()
        if message is None:
            raise httpx.ReadError("the connection was closed")
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self.next_message()
            more = message.get("more_body", False)
            if data := message.get("body", b""):
                yield data

    async def aclose(self) -> None:
        self._is_closed.set()
        await cancel_and_wait([self._task])

    async def _run(self, application: ASGIApp, scope: Scope) -> None:
        """Close the connection at the end, as a server does after an error too."""
        with suppress(Exception):
            await application(scope, self._receive, self._sent.put)
        self._sent.put_nowait(None)

    async def _receive(self) -> Message:
        if self._unread:
            return self._unread.pop()
        await self._is_closed.wait()
        return {"type": "http.disconnect"}


def _scope(request: httpx.Request) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port or 80),
        "client": ("127.0.0.1", 50000),
    }
