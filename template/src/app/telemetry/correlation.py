"""The ids that connect all log lines, spans and provider calls of one request.

A `ContextVar` is visible in every task that a request starts. So a log line or a call to a provider
finds the id, and functions do not have to pass it as a parameter.

A caller may send `X-Request-ID`, or `traceparent` (W3C Trace Context), or both. A valid
`X-Request-ID` becomes the request id. Without one, the trace id is used, so that one id finds the
request in the caller's traces and in our logs. Without both, a new id is generated.
"""

import re
from contextvars import ContextVar, Token
from types import TracebackType
from uuid import uuid4

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)
# The name of the authenticated client: a configured name, so it may be the label of a metric.
client: ContextVar[str | None] = ContextVar("client", default=None)
# The tenant of a request without a client's name: its `X-Tenant-ID`. A caller chooses it, so it is
# never a label.
tenant: ContextVar[str | None] = ContextVar("tenant", default=None)

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


def trace_id(parent: str) -> str:
    return parent[3:35]


class under:  # noqa: N801 - reads as a statement, like `suppress` and `closing`
    """Run a block as a child of the span `parent`, a value of `traceparent`; `None`: of no span."""

    __slots__ = ("_parent", "_token")

    def __init__(self, parent: str | None) -> None:
        self._parent = parent
        self._token: Token[str | None] | None = None

    def __enter__(self) -> None:
        if traceparent.get() != self._parent:
            self._token = traceparent.set(self._parent)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._token is not None:
            traceparent.reset(self._token)
