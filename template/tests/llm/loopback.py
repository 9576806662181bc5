"""A server on the loopback interface that sends exactly the bytes it is told to, well-formed or not."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Reply = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Loopback:
    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests: list[bytes] = []
        self.connections = 0
        self.open = 0
        self.base_url = ""
        self._idle = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._idle.clear()
        try:
            ahead = b""
            while not writer.is_closing():
                self.requests.append(ahead + await _request(reader))
                ahead = await self._answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            if not self.open:
                self._idle.set()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Notice a client that disconnects in the middle of an answer, as every real server does.

        The byte that was read may also be the first one of the next request: it is given back.
        """
        answering = asyncio.ensure_future(self.reply(writer))
        listening = asyncio.ensure_future(reader.read(1))
        await asyncio.wait([answering, listening], return_when=asyncio.FIRST_COMPLETED)
        if listening.done() and (listening.exception() or not listening.result()):
            answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        if not listening.done():
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
            return b""
        return listening.result()

    async def until_idle(self) -> None:
        async with asyncio.timeout(5):
            if self.open:
                await self._idle.wait()


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.splitlines()
        if line.lower().startswith(b"content-length:")
    ]
    return head + await reader.readexactly(sum(lengths))


@asynccontextmanager
async def loopback(reply: Reply, port: int = 0) -> AsyncIterator[Loopback]:
    state = Loopback(reply)
    server = await asyncio.start_server(state.serve, "127.0.0.1", port)
    state.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield state
    finally:
        server.close()
        await state.until_idle()
        await server.wait_closed()


def sends(*pieces: bytes, every_s: float = 0.0, hang_up: bool = True) -> Reply:
    async def reply(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(every_s)
        if hang_up:
            writer.close()

    return reply


async def resets(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hangs(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(10)


def head(content_type: str, *more: bytes, status: bytes = b"200 OK") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Content-Type: " + content_type.encode(), *more]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def whole(content_type: str, body: bytes, *more: bytes, status: bytes = b"200 OK") -> bytes:
    return head(content_type, b"Content-Length: %d" % len(body), *more, status=status) + body
