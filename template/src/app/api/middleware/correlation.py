from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.correlation import (
    accept_or_make,
    request_id,
    traceparent,
    valid_traceparent,
)


class Correlation:
    """Give every request an id, the caller's if it is sane, and every answer the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        parent = valid_traceparent(headers.get("traceparent"))
        current = accept_or_make(headers.get("x-request-id"), parent)
        header = (b"x-request-id", current.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), header]}
            await send(message)

        tokens = request_id.set(current), traceparent.set(parent)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            request_id.reset(tokens[0])
            traceparent.reset(tokens[1])
