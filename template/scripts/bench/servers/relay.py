"""The least that an answer from an upstream takes: bytes are passed on, and nothing is read in them."""

import asyncio
from typing import cast
from urllib.parse import urlsplit

import httptools
from starlette.types import Receive, Scope, Send

from scripts.bench.servers.serving import UPSTREAM, serve

_ADDRESS = urlsplit(UPSTREAM)
_HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: upstream\r\nContent-Length: %d\r\n\r\n"


class Connection(asyncio.Protocol):
    """One request at a time. It is used again after the answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def ask(self, body: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._news: asyncio.Future[None] | None = None
        self.is_whole = False
        self._transport.write(_HEAD % len(body) + body)

    async def received(self) -> bytes:
        if not self._pieces and not self.is_whole:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        self.is_whole = True


_idle: list[Connection] = []


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    connection = _idle.pop() if _idle else await _connect()
    connection.ask((await receive())["body"])
    await send({"type": "http.response.start", "status": 200})
    while not connection.is_whole:
        piece = await connection.received()
        more = not connection.is_whole
        await send({"type": "http.response.body", "body": piece, "more_body": more})
    _idle.append(connection)


async def _connect() -> Connection:
    loop = asyncio.get_running_loop()
    host, port = _ADDRESS.hostname or "", _ADDRESS.port or 80
    return (await loop.create_connection(Connection, host, port))[1]


if __name__ == "__main__":
    serve(app)
