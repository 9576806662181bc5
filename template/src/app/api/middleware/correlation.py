"""The id of a request.

A caller may send `X-Request-ID`, or `traceparent` (W3C Trace Context), or both. A valid
`X-Request-ID` becomes the request id. Without one, the trace id is used, so that one id finds the
request in the caller's traces and in our logs. Without both, a new id is generated.
"""

import re
from uuid import uuid4

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.correlation import (
    client,
    request_id,
    tenant,
    trace_id,
    traceparent,
)

# Answers depend on the client's key, so no cache on the way may keep them. The files of `/docs` are
# public.
_NO_STORE = (b"cache-control", b"no-store")
_KEPT = "/docs"

# An accepted id is repeated in logs, headers and calls to providers. So it must not end a line,
# close a quote or fill a disk. 128 characters are enough for a UUID, a ULID or a `traceparent`.
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+-]{0,127}")

# Version, trace id, span id, flags. A later version may append fields. An id that is all zeros, and
# version ff, are invalid (https://www.w3.org/TR/trace-context/#traceparent-header).
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_LATER_FIELDS = re.compile(r"(?:-[\x21-\x7e]{0,128})?")


def accept_or_make(value: str | None, parent: str | None = None) -> str:
    """Return the id of a request from its `X-Request-ID` and its (valid) `traceparent`."""
    if value is not None and _SANE.fullmatch(value):
        return value
    return uuid4().hex if parent is None else trace_id(parent)


def valid_traceparent(value: str | None) -> str | None:
    """The four known fields of a `traceparent` header, or `None` if the header is invalid."""
    known = _TRACEPARENT.match(value) if value is not None else None
    if known is None or value is None:
        return None
    later = value[known.end() :]
    if later and (value.startswith("00") or not _LATER_FIELDS.fullmatch(later)):
        return None
    return known.group()


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
