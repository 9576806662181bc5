"""A client that speaks in bytes, for requests that no HTTP library sends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

# A machine with ten test processes has taken seconds for what takes milliseconds.
PATIENCE_S = 20


@dataclass(frozen=True)
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, *, every_s: float) -> None:
        """Send the same bytes again and again until the server closes."""
        while not self.reader.at_eof():
            await self.send(data)
            await asyncio.sleep(every_s)

    async def answer(self) -> "Answer":
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        status, *lines = head.decode().strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return Answer(int(status.split()[1]), headers, body)

    async def closed(self) -> bytes:
        """Wait until the server closes; return the bytes that it sent before."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE_S)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def is_problem(self) -> bool:
        return (
            self.headers["content-type"] == "application/problem+json"
            and orjson.loads(self.body)["status"] == self.status
            and orjson.loads(self.body)["request_id"] == self.headers["x-request-id"]
        )


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Client]:
    host, port = url.removeprefix("http://").split(":")
    client = Client(*await asyncio.open_connection(host, int(port)))
    try:
        yield client
    finally:
        client.writer.close()
