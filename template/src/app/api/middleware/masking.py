from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.redaction import KNOWN


def _masked_headers(start: Message) -> Message:
    """Most answers have no secret: one search for all values, and for each value only if it finds one."""
    headers = list(start.get("headers", ()))
    values = b"\n".join([value for _, value in headers])
    if KNOWN.hide_bytes(values) is values:
        return start
    return {**start, "headers": [(name, KNOWN.hide_bytes(value)) for name, value in headers]}


def _resized(start: Message, body: Message, masked: bytes) -> Message:
    """The start of the answer with the length of the masked body: unknown, when more follows."""
    headers = MutableHeaders(raw=list(start["headers"]))
    if body.get("more_body", False):
        del headers["content-length"]
    else:
        headers["content-length"] = str(len(masked))
    return {**start, "headers": headers.raw}


class Masking:
    """Mask the service's own secrets in every answer: header values, bodies, events of a stream.

    The outermost middleware, so that no endpoint and no error can bypass it. A provider that repeats
    the key it was sent, in an error, a text or an id, is how a key gets into an answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held: Message | None = None  # headers that name the length of a body not seen yet

        async def send_masked(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start":
                message = _masked_headers(message)
                if "content-length" in MutableHeaders(raw=list(message.get("headers", ()))):
                    held = message
                    return
            elif message["type"] == "http.response.body":
                body = message.get("body", b"")
                masked = KNOWN.hide_bytes(body)
                if held is not None:
                    start, held = held, None
                    is_same = masked is body and not message.get("more_body", False)
                    await send(start if is_same else _resized(start, message, masked))
                message = {**message, "body": masked}
            await send(message)

        await self._app(scope, receive, send_masked)
