"""An upstream for `make bench` that costs little: it answers every request with the same bytes.

An answer is OpenAI's. `/stream`, and a request with `"stream": true`, gets 200 events with text, each
sent by itself as a model does.
"""

import asyncio
import os
from typing import cast

import orjson
import uvloop

EVENTS = 200
_EVERY_S = 0.002
_END_OF_CHUNKS = b"0\r\n\r\n"
_EVENT_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)


_COMMON = {"id": "1", "created": 1, "model": "gpt-5-mini"}
_USAGE = {"prompt_tokens": 9, "completion_tokens": 140, "total_tokens": 149}


def _answer() -> bytes:
    message = {"role": "assistant", "content": "The Zugspitze is in Bavaria. " * 20}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = {**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    body = orjson.dumps(answer)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(body) + body


def _event(content: str | None, finish_reason: str | None = None) -> bytes:
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return _chunk(orjson.dumps({**_COMMON, "object": _KIND, "choices": [choice]}))


def _chunk(data: bytes) -> bytes:
    event = b"data: " + data + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


_KIND = "chat.completion.chunk"
_ANSWER, _EVENT = _answer(), _event("The Zugspitze ")
_END = _event(None, "stop") + _chunk(b"[DONE]") + _END_OF_CHUNKS


class Upstream(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._received = b""
        self._left = 0

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if not end or len(body) < int(length or 0):
            return
        self._received = b""
        if b"/stream" in head.partition(b"\r\n")[0] or b'"stream":true' in _compact(body):
            self._transport.write(_EVENT_STREAM)
            self._left = EVENTS
            self._send_event()
        else:
            self._transport.write(_ANSWER)

    def _send_event(self) -> None:
        if self._transport.is_closing():
            return
        self._left -= 1
        self._transport.write(_EVENT if self._left else _EVENT + _END)
        if self._left:
            asyncio.get_running_loop().call_later(_EVERY_S, self._send_event)


def _compact(body: bytes) -> bytes:
    return body[-200:].replace(b" ", b"")


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(
        Upstream, "127.0.0.1", int(os.environ["PORT"]), backlog=1024
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
