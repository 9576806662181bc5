"""Limits of the bodies of requests: of each, and of the memory of all requests together."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.problems import InvalidBodyError, ProblemResponse, http_problem
from app.clients.account import uncount_request

# 200 messages of a page each. The largest single message fits even when every character of it is
# escaped as a surrogate pair.
MAX_BODY_BYTES = 2 * 1024 * 1024
_TOO_LARGE = 413
_WHY = f"The body may have {MAX_BODY_BYTES} bytes."

# Twice as many as the largest allowed request has (10,000 texts). Parsing two megabytes of empty
# lists takes 0.1 s, in which the event loop serves no other request.
MAX_JSON_VALUES = 20_000
_WHY_VALUES = f"The body may have {MAX_JSON_VALUES} JSON values."
_WHY_UTF8 = "The body is not JSON in UTF-8."


# Bytes of memory for a byte of a body: as it arrives, joined, parsed, normalized and encoded again.
BYTES_PER_BODY_BYTE = 8
_FULL = 503
_WHY_FULL = "The service holds as many bytes of requests as it may. Try again."
_RETRY_LATER = {"Retry-After": "1"}
_HOLD = "app.hold"  # the key of the ASGI scope


def hold_for_answer(scope: Scope, count: int) -> None:
    """Take the memory of an answer for the rest of a request. Raises a 503 if it is not free."""
    hold: Hold = scope[_HOLD]
    if not hold.add_up_to_all(count):
        raise _full()


def _full() -> HTTPException:
    uncount_request()
    return HTTPException(_FULL, _WHY_FULL, _RETRY_LATER)


class ByteBudget:
    """Bytes that requests may hold at the same time. `used` is never more than `total`."""

    def __init__(self, total: int, *, on_refused: Callable[[], None] = lambda: None) -> None:
        self.total = total
        self.used = 0
        self.on_refused = on_refused


@dataclass(slots=True)
class Hold:
    """The bytes of one request, which are given back together when it ends."""

    budget: ByteBudget
    count: int = 0

    def add(self, count: int) -> bool:
        """Take more bytes, or none of them and return `False`."""
        if self.budget.used + count > self.budget.total:
            self.budget.on_refused()
            return False
        self.budget.used += count
        self.count += count
        return True

    def add_up_to_all(self, count: int) -> bool:
        """The same, but a request that is alone may have more than there is."""
        return self.add(min(count, self.budget.total - self.count))


class BodyLimit:
    """Refuses a body with too many bytes or too many JSON values before it is parsed.

    A `Content-Length` beyond the limit is refused at once; without one, reading stops at the limit.
    All bodies together may have the bytes of `budget`, which a request holds until its answer is sent.
    """

    def __init__(
        self, app: ASGIApp, *, budget: ByteBudget, max_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._app = app
        self._budget = budget
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The first of several with one name. `Headers` takes three Python calls for each value.
        headers = {name: value.decode("latin-1") for name, value in reversed([*scope["headers"]])}
        length = headers.get(b"content-length", "")
        announced = int(length) if length.isdecimal() else 0
        budget = self._budget
        if announced > self._max_bytes:
            await ProblemResponse(http_problem(_TOO_LARGE, _WHY))(scope, receive, send)
        elif budget.used + announced * BYTES_PER_BODY_BYTE > budget.total:
            await _refuse_full(budget, scope, receive, send)
        else:
            scope[_HOLD] = hold = Hold(budget)
            is_json = "json" in headers.get(b"content-type", "").lower()
            body = _Body(receive, hold, self._max_bytes, is_json)
            try:
                await self._app(scope, body.receive_within, send)
            finally:
                budget.used -= hold.count


async def _refuse_full(budget: ByteBudget, scope: Scope, receive: Receive, send: Send) -> None:
    budget.on_refused()
    uncount_request()
    await ProblemResponse(http_problem(_FULL, _WHY_FULL), _RETRY_LATER)(scope, receive, send)


@dataclass(slots=True)
class JSONValues:
    """Counts the commas and opening brackets outside of strings, chunk by chunk.

    Each value but the first of a list or object has a comma before it.
    """

    total: int = 0
    in_string: bool = False
    escape: bytes = b""  # a backslash at the end of the last chunk

    def count(self, chunk: bytes) -> int:
        text = (self.escape + chunk).replace(b"\\\\", b"")
        self.escape = b"\\" if text.endswith(b"\\") else b""
        pieces = text.replace(b'\\"', b"").split(b'"')
        outside = b"".join(pieces[1 if self.in_string else 0 :: 2])
        self.in_string ^= len(pieces) % 2 == 0
        self.total += outside.count(b",") + outside.count(b"[") + outside.count(b"{")
        return self.total


@dataclass(slots=True)
class _Body:
    """The body of one request, which is checked while it arrives."""

    source: Receive
    hold: Hold
    max_bytes: int
    is_json: bool
    received: int = 0
    uncounted: bytes = b""
    values: JSONValues | None = None  # most bodies need no count

    async def receive_within(self) -> Message:
        message = await self.source()
        chunk: bytes = message.get("body", b"")
        self.received += len(chunk)
        if self.received > self.max_bytes:
            raise HTTPException(_TOO_LARGE, _WHY)
        budget, taken = self.hold.budget, len(chunk) * BYTES_PER_BODY_BYTE
        if budget.used + taken > budget.total:  # without `Hold.add`: each request passes here
            budget.on_refused()
            raise _full()
        budget.used += taken
        self.hold.count += taken
        if self.is_json:
            self.uncounted += chunk
            # A body with fewer bytes cannot have too many values.
            if self.received > MAX_JSON_VALUES or b"\0" in chunk:
                self._check_json()
        return message

    def _check_json(self) -> None:
        chunk, self.uncounted = self.uncounted, b""
        if b"\0" in chunk:  # UTF-16 and UTF-32, which Python's parser takes, and no counter reads
            raise InvalidBodyError(_WHY_UTF8)
        self.values = self.values or JSONValues()
        if self.values.count(chunk) > MAX_JSON_VALUES:
            raise InvalidBodyError(_WHY_VALUES)
