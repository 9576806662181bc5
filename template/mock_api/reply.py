"""Sends an answer the way the fault of its request says: late, paced, cut, silent or broken."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mock_api.call import call_of
from mock_api.faults import Fault


class ClientGoneError(Exception):
    """Nobody is listening any more."""


class DroppedOnPurposeError(Exception):
    """Makes the server close the connection in the middle of an answer.

    ASGI has no word for that. Servers do it when an application raises after its answer began; the
    traceback they log for it is kept out of the log by `application.quiet_drops`.
    """


class Frame(NamedTuple):
    """One event of a stream; `content` marks those that carry a piece of the answer."""

    data: bytes
    content: bool = False


class Whole(Response):
    """An answer in one piece, as JSON."""

    media_type = "application/json"

    def __init__(
        self, body: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(orjson.dumps(body), status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = call_of(scope).fault
        with contextlib.suppress(ClientGoneError):
            await _wait(receive, fault.latency_ms / 1000)
            if fault.stall_after_chunks is not None:
                await _wait(receive, None)
            await self._send(fault, send)

    async def _send(self, fault: Fault, send: Send) -> None:
        body = bytes(self.body)
        half = body[: len(body) // 2].decode(errors="ignore").encode()
        if fault.malformed:
            body = half
        self.headers["content-length"] = str(len(body))
        await _start(self, send)
        if fault.drop_after_chunks is not None:
            await _body(half[: len(body) - 1], send)
            raise DroppedOnPurposeError
        await _body(body, send, more=False)


class Stream(Response):
    """Server-sent events, already encoded: one write each."""

    media_type = "text/event-stream"

    def __init__(self, frames: Sequence[Frame]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = call_of(scope).fault
        with contextlib.suppress(ClientGoneError):
            await _wait(receive, fault.latency_ms / 1000)
            await _start(self, send)
            await self._send(fault, receive, send)
            await _body(b"", send, more=False)

    async def _send(self, fault: Fault, receive: Receive, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        began, sent = clock(), 0
        for frame in self._frames:
            # What opens a stream (roles, pings) is not cut off: n counts pieces of the answer.
            if frame.content or sent:
                await _cut(fault, sent, receive)
            sent += frame.content
            # Waits follow from a schedule; adding up short sleeps would run late.
            due = began + sent / fault.tokens_per_second if fault.tokens_per_second else 0
            await _wait(receive, due - clock() if frame.content else 0)
            broken = fault.malformed and frame.content and sent == self._second
            await _body(_broken(frame.data) if broken else frame.data, send)

    @property
    def _second(self) -> int:
        """The second piece of the answer, or the only one."""
        return min(2, sum(frame.content for frame in self._frames))


async def _cut(fault: Fault, sent: int, receive: Receive) -> None:
    if sent == fault.drop_after_chunks:
        raise DroppedOnPurposeError
    if sent == fault.stall_after_chunks:
        await _wait(receive, None)


async def _wait(receive: Receive, seconds: float | None) -> None:
    """Sleep by listening: a client that hangs up ends the wait (None: nothing else does)."""
    if seconds is not None and seconds <= 0:
        await asyncio.sleep(0)  # let other streams have their turn
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            raise ClientGoneError


def _broken(frame: bytes) -> bytes:
    """Without its closing brackets: always invalid JSON, never invalid UTF-8."""
    return frame.rstrip()[:-2] + b"\n\n"


async def _start(response: Response, send: Send) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )


async def _body(data: bytes, send: Send, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})
