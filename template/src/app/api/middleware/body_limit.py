from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import ProblemResponse, http_problem

# 200 messages of a page each. The largest single message fits even when every character of it is
# escaped as a surrogate pair.
MAX_BODY_BYTES = 2 * 1024 * 1024
_TOO_LARGE = 413
_WHY = f"The body may have {MAX_BODY_BYTES} bytes."


class BodyLimit:
    """Refuse a body that says it is too large, and stop reading one that does not say."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _announced(scope) > self._max_bytes:
            await ProblemResponse(http_problem(_TOO_LARGE, _WHY))(scope, receive, send)
            return
        received = 0

        async def receive_within() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(_TOO_LARGE, _WHY)
            return message

        await self._app(scope, receive_within, send)


def _announced(scope: Scope) -> int:
    length = Headers(scope=scope).get("content-length", "")
    return int(length) if length.isdecimal() else 0
