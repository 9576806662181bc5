"""Counts the round trips and bytes between a client and a server, as a proxy in this process.

A round trip begins when the client sends and the server has answered since it last sent. So it counts
waits of the client, however many commands it sends at once.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_AT_ONCE = 65536


@dataclass(slots=True)
class Traffic:
    round_trips: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    def since(self, before: "Traffic") -> "Traffic":
        return Traffic(
            self.round_trips - before.round_trips,
            self.sent_bytes - before.sent_bytes,
            self.received_bytes - before.received_bytes,
        )


@dataclass
class Relay:
    """`url` is the address of the server by way of this relay."""

    url: str
    traffic: Traffic = field(default_factory=Traffic)
    _clients: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, client: "Streams", server: "Streams") -> None:
        self._clients.add(client[1])
        try:
            await _Conversation(self.traffic).run(client, server)
        finally:
            self._clients.discard(client[1])

    async def hang_up(self) -> None:
        """Close all connections, as a server does that stops."""
        for writer in [*self._clients]:
            writer.close()
            await writer.wait_closed()


@asynccontextmanager
async def relayed(url: str) -> AsyncIterator[Relay]:
    parts = urlsplit(url)
    relay = Relay(url)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(parts.hostname, parts.port)
        await relay.serve((reader, writer), there)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        relay.url = url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{port}")
        yield relay


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Count = Callable[[int], None]


class _Conversation:
    """One connection."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._is_answered = True

    async def run(self, client: Streams, server: Streams) -> None:
        copying = {
            asyncio.create_task(self._copy(client[0], server[1], self._sent)),
            asyncio.create_task(self._copy(server[0], client[1], self._received)),
        }
        await asyncio.wait(copying, return_when=asyncio.FIRST_COMPLETED)
        for task in copying:
            task.cancel()
        await asyncio.wait(copying)
        for _, writer in (client, server):
            writer.close()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, count: Count
    ) -> None:
        while received := await reader.read(_AT_ONCE):
            count(len(received))
            writer.write(received)

    def _sent(self, size: int) -> None:
        self._traffic.sent_bytes += size
        self._traffic.round_trips += self._is_answered
        self._is_answered = False

    def _received(self, size: int) -> None:
        self._traffic.received_bytes += size
        self._is_answered = True
