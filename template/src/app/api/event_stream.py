"""Server-sent events, written by us: one `send` per event costs a twentieth of a framework's way.

Before the first event nothing is sent, so an error that comes first keeps its real status. While
the model thinks a comment goes out now and then, or a proxy takes the silence for death. When the
client goes, the events are closed at once, and with them the connection to the provider. A server
that stops before an answer is complete lets it say so.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

KEEP_ALIVE_S = 15.0

# An upstream that always has the next event ready never waits, and so nobody else would run, not
# even to notice that the client has gone. A turn of the loop costs a fifth of a frame.
_FRAMES_IN_A_ROW = 16

_HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would collect the whole answer first
}
_COMMENT = b": keep-alive\n\n"

# JSON leaves these three as they are, and readers that split lines as Python does break there.
_LINE_ENDS = {char: f"\\u{ord(char):04x}".encode() for char in "\x85\u2028\u2029"}


def frame(event: str, data: bytes) -> bytes:
    """Encode one event. `data` is JSON, so it has no line ends of its own but the exotic ones."""
    for char, escaped in _LINE_ENDS.items():
        data = data.replace(char.encode(), escaped)
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)


class EventStream(StreamingResponse):
    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[bytes, None],
        *,
        last_words: Callable[[], bytes] = bytes,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        super().__init__(frames, headers=_HEADERS)
        self._frames = frames
        self._last_words = last_words
        self._keep_alive_s = keep_alive_s
        self._quiet_since: float | None = None  # None: not started, or over

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(_disconnected(receive))
        comments = asyncio.create_task(self._comment(send))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        except asyncio.CancelledError:  # the server stops, and has waited for us long enough
            comments.cancel()
            if not pump.done() and self._quiet_since is not None:
                pump.cancel()
                await self._end(send, self._last_words())
            raise
        finally:
            for task in (pump, gone, comments):
                task.cancel()
            await asyncio.gather(pump, gone, comments, return_exceptions=True)

    async def _pump(self, send: Send) -> None:
        sent = 0
        async with aclosing(self._frames) as frames:
            async for data in frames:
                if self._quiet_since is None:
                    await self._start(send)
                await send({"type": "http.response.body", "body": data, "more_body": True})
                self._quiet_since = asyncio.get_running_loop().time()
                sent += 1
                if sent % _FRAMES_IN_A_ROW == 0:
                    await asyncio.sleep(0)
        if self._quiet_since is None:
            await self._start(send)
        await self._end(send, b"")

    async def _start(self, send: Send) -> None:
        self._quiet_since = asyncio.get_running_loop().time()
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})

    async def _end(self, send: Send, body: bytes) -> None:
        self._quiet_since = None
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _comment(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        while True:
            since = self._quiet_since
            wait_s = self._keep_alive_s
            if since is not None:
                wait_s -= loop.time() - since
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            else:
                self._quiet_since = loop.time()
                await send({"type": "http.response.body", "body": _COMMENT, "more_body": True})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
