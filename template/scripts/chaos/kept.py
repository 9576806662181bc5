"""A client that keeps its connections: to open one for each question costs the machine more than to ask it."""

import asyncio
from collections.abc import Mapping

from scripts.chaos.client import Answer, Client, Connection, parsed, request

_PATIENCE_S = 60
# nginx closes a connection that is idle for 75 s, and a question that is on its way then is lost.
_IDLE_S = 30.0
_NO_CLOSE: Mapping[str, str] = {"Connection": "keep-alive"}


class KeptConnections:
    """One question at a time on each connection; the connections that are free wait here."""

    def __init__(self, service: Client) -> None:
        self._service = service
        self._free: list[tuple[Connection, float]] = []

    async def ask(self, path: str, body: bytes) -> Answer:
        connection = None
        try:
            async with asyncio.timeout(_PATIENCE_S):
                connection = self._taken() or await self._opened()
                await connection.send(request("POST", path, body, _NO_CLOSE))
                answer = parsed(await _one_answer(connection.reader))
        except (OSError, EOFError, TimeoutError):
            answer = Answer()
        if connection:
            self._keep_or_close(connection, answer)
        return answer

    def close(self) -> None:
        for connection, _ in self._free:
            connection.writer.close()
        self._free.clear()

    async def _opened(self) -> Connection:
        return Connection(*await asyncio.open_connection(self._service.host, self._service.port))

    def _taken(self) -> Connection | None:
        """The connection that was used last. Those before it are idle for longer."""
        while self._free:
            connection, since = self._free.pop()
            if not connection.reader.at_eof() and _now() - since < _IDLE_S:
                return connection
            connection.writer.close()
        return None

    def _keep_or_close(self, connection: Connection, answer: Answer) -> None:
        if answer.status and answer.headers.get("connection") != "close":
            self._free.append((connection, _now()))
        else:
            connection.writer.close()


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _one_answer(reader: asyncio.StreamReader) -> bytes:
    """An answer up to its own end, with the pieces of its body put together."""
    head = await reader.readuntil(b"\r\n\r\n")
    headers = parsed(head).headers
    if headers.get("transfer-encoding") == "chunked":
        return head + await _chunks(reader)
    return head + await reader.readexactly(int(headers.get("content-length", "0")))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body
