"""A client that speaks in bytes, for requests that no HTTP library sends.

It needs no package: `make chaos` runs in a new clone, before `make install`.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_PATIENCE_S = 60
QUESTION: Mapping[str, object] = {"messages": [{"role": "user", "content": "Hi"}]}


@dataclass(frozen=True)
class Answer:
    """An answer as its caller sees it. Status 0: the connection ended without one."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    duration_s: float = 0.0

    @property
    def is_problem(self) -> bool:
        """Whether it is a problem (RFC 9457) with the id of its own header."""
        if self.headers.get("content-type") != "application/problem+json":
            return False
        return bool(json.loads(self.body)["request_id"] == self.headers.get("x-request-id"))


@dataclass(frozen=True)
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, every_s: float) -> None:
        """Send the same bytes again and again until the server closes."""
        with suppress(OSError):
            while not self.reader.at_eof():
                await self.send(data)
                await asyncio.sleep(every_s)

    async def answer(self) -> Answer:
        """Read up to the end of the connection."""
        received = b""
        with suppress(OSError):
            while piece := await self.reader.read(1 << 20):
                received += piece
        return parsed(received)


@dataclass(frozen=True)
class Client:
    host: str
    port: int

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        connection = Connection(*await asyncio.open_connection(self.host, self.port))
        try:
            yield connection
        finally:
            connection.writer.close()

    async def get(self, path: str) -> Answer:
        return await self.ask("GET", path)

    async def chat(self, **changes: object) -> Answer:
        return await self.ask("POST", "/v1/chat", json.dumps({**QUESTION, **changes}).encode())

    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own, and read the whole answer."""
        started = time.perf_counter()
        answer = Answer()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_PATIENCE_S), self.connected() as connection:
                with suppress(OSError):  # refused while it is sent: the answer says why
                    await connection.send(request(method, path, body, headers))
                answer = await connection.answer()
        duration_s = time.perf_counter() - started
        return Answer(answer.status, answer.headers, answer.body, duration_s)


def request(
    method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> bytes:
    lines = {
        "Host": "chaos",
        "Connection": "close",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def parsed(received: bytes) -> Answer:
    """Split an answer. The pieces of a stream keep the lines with their lengths."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    if not status.startswith("HTTP/1."):
        return Answer()
    headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
    return Answer(int(status.split()[1]), headers, body)
