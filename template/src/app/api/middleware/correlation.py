from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.correlation import (
    accept_or_make,
    client,
    request_id,
    tenant,
    traceparent,
    valid_traceparent,
)

# Answers depend on the client's key, so no cache on the way may keep them. The files of `/docs` are
# public.
_NO_STORE = (b"cache-control", b"no-store")
_KEPT = "/docs"


class Correlation:
    """Give every request an id, the caller's if it is sane, and every answer the same."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The first of several with one name. `Headers` takes three Python calls for each value.
        headers = {name: value.decode("latin-1") for name, value in reversed([*scope["headers"]])}
        parent = valid_traceparent(headers.get(b"traceparent"))
        current = accept_or_make(headers.get(b"x-request-id"), parent)
        added = [(b"x-request-id", current.encode())]
        if not scope["path"].startswith(_KEPT):
            added.append(_NO_STORE)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        tokens = request_id.set(current), traceparent.set(parent)
        caller = client.set(None), tenant.set(None)  # `ClientAuth` and `Tenant` set them
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            request_id.reset(tokens[0])
            traceparent.reset(tokens[1])
            client.reset(caller[0])
            tenant.reset(caller[1])
