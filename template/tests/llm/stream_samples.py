"""A body in chunks, and what a client reads of it."""

from collections.abc import AsyncIterator

import httpx2 as httpx

from app.llm.http import HTTPPolicy, open_connections
from app.llm.types import StreamEvent, TextDelta
from tests.llm.samples import REQUEST, Sample


class Chunks(httpx.AsyncByteStream):
    def __init__(self, *chunks: bytes | Exception) -> None:
        self.chunks = chunks
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


async def received(sample: Sample, *chunks: bytes | Exception) -> list[StreamEvent]:
    body = Chunks(*chunks)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=body))
    async with open_connections(HTTPPolicy(), transport) as connections:
        try:
            return [event async for event in sample.model(connections).stream(REQUEST)]
        finally:
            assert body.closed


def text_of(events: list[StreamEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))
