"""Sends an answer with the fault of its request: late, paced, cut, silent or broken."""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Sequence

import orjson
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mock_api.call import Call, call_of
from mock_api.faults import Fault
from mock_api.frames import Frame

_PING_EVERY_S = 0.2


class ClientGoneError(Exception):
    """The client has disconnected."""


class DroppedOnPurposeError(Exception):
    """Makes the server close the connection in the middle of an answer.

    ASGI has no message for this. Servers do it if an application raises an error after its answer
    has begun. `application.quiet_drops` removes the traceback that they log for it.
    """


class Whole(Response):
    """A whole answer, as JSON."""

    media_type = "application/json"

    def __init__(
        self, body: object, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(orjson.dumps(body), status, headers)
        self._content: object = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = call_of(scope)
        fault = call.fault
        if self.status_code == 200 and isinstance(self._content, dict):  # noqa: PLR2004 - HTTP
            self.body = orjson.dumps(call.oddity.whole(self._content))
        with contextlib.suppress(ClientGoneError):
            await _wait(receive, fault.latency_ms / 1000)
            if fault.stall_after_chunks is not None or fault.ping_after_chunks is not None:
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


class Lines(Whole):
    """A file of lines, each of them JSON."""

    media_type = "application/jsonl"

    def __init__(self, lines: Iterable[bytes]) -> None:
        Response.__init__(self, b"".join(line + b"\n" for line in lines))
        self._content = None


class Stream(Response):
    """Encoded server-sent events; each event is one write."""

    media_type = "text/event-stream"

    def __init__(self, frames: Sequence[Frame]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = call_of(scope)
        self._frames = call.oddity.stream(self._frames)
        with contextlib.suppress(ClientGoneError):
            await _wait(receive, call.fault.latency_ms / 1000)
            await _start(self, send)
            await self._send(call, receive, send)
            await _body(b"", send, more=False)

    async def _send(self, call: Call, receive: Receive, send: Send) -> None:
        fault = call.fault
        clock = asyncio.get_running_loop().time
        began, sent = clock(), 0
        for frame in self._frames:
            # The opening events (roles, pings) are always sent: n counts pieces of the answer.
            if frame.content or sent:
                await _cut(fault, sent, receive)
                if sent == fault.ping_after_chunks:
                    await _ping(call.dialect.ping, receive, send)
            sent += frame.content
            # The times come from a schedule, because the errors of short sleeps would add up.
            due = began + sent / fault.tokens_per_second if fault.tokens_per_second else 0
            await _wait(receive, due - clock() if frame.content else 0)
            broken = fault.malformed and frame.content and sent == self._second
            await _body(_broken(frame.data) if broken else frame.data, send)

    @property
    def _second(self) -> int:
        """The index of the second piece of the answer, or of the only one."""
        return min(2, sum(frame.content for frame in self._frames))


async def _cut(fault: Fault, sent: int, receive: Receive) -> None:
    if sent == fault.drop_after_chunks:
        raise DroppedOnPurposeError
    if sent == fault.stall_after_chunks:
        await _wait(receive, None)


async def _ping(ping: bytes, receive: Receive, send: Send) -> None:
    """Send pings until the client disconnects."""
    while True:
        await _body(ping, send)
        await _wait(receive, _PING_EVERY_S)


async def _wait(receive: Receive, seconds: float | None) -> None:
    """Sleep until the time is over or the client disconnects (with None only the latter)."""
    if seconds is not None and seconds <= 0:
        await asyncio.sleep(0)  # let other streams run
        return
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            raise ClientGoneError


def _broken(frame: bytes) -> bytes:
    """The frame without its closing brackets: invalid JSON, but valid UTF-8."""
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
