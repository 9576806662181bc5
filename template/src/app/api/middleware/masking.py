from collections.abc import Awaitable
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.redaction import KNOWN


class Masking:
    """Mask the service's own secrets in every answer: header values, bodies, events of a stream.

    The outermost middleware, so that no endpoint and no error can bypass it. A provider that repeats
    the key it was sent, in an error, a text or an id, is how a key gets into an answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            send = MaskedAnswer(send)
        return self._app(scope, receive, send)


@dataclass(slots=True)
class MaskedAnswer:
    """Sends an answer without the service's own secrets: in header values, bodies and events."""

    send: Send
    held: Message | None = None  # headers that name the length of a body not seen yet

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers", ())
            values = b"\n".join([value for _, value in headers])
            if KNOWN.hide_bytes(values) is not values:  # one search: most answers have no secret
                message = _with_masked_headers(message)
            if b"content-length" in dict(headers):
                self.held = message
                return
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            masked = KNOWN.hide_bytes(body)
            if self.held is not None:
                start, self.held = self.held, None
                is_same = masked is body and not message.get("more_body", False)
                await self.send(start if is_same else _resized(start, message, masked))
            message = {**message, "body": masked}
        await self.send(message)


def _with_masked_headers(start: Message) -> Message:
    headers = [(name, KNOWN.hide_bytes(value)) for name, value in start["headers"]]
    return {**start, "headers": headers}


def _resized(start: Message, body: Message, masked: bytes) -> Message:
    """The start of the answer with the length of the masked body: unknown, when more follows."""
    headers = MutableHeaders(raw=list(start["headers"]))
    if body.get("more_body", False):
        del headers["content-length"]
    else:
        headers["content-length"] = str(len(masked))
    return {**start, "headers": headers.raw}
