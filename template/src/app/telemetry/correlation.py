"""The ids that tie together everything that happens for one request.

A `ContextVar` follows a request through every task it starts, so a log line three layers down, or
a call to a provider, finds the id without anybody passing it along.

A caller may send `X-Request-ID`, or `traceparent` (W3C Trace Context), or both. Its request id is
ours when it is sane; without one the id of the trace is, so that one id finds the request in the
caller's traces and in our logs; without both an id is made.
"""

import re
from contextvars import ContextVar
from uuid import uuid4

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
traceparent: ContextVar[str | None] = ContextVar("traceparent", default=None)

# An accepted id is repeated in logs, headers and calls to providers: nothing in it may end a line,
# close a quote or fill a disk. 128 characters hold a UUID, a ULID or a `traceparent`.
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+-]{0,127}")

# Version, id of the trace, id of the span, flags. A later version may append fields to these; an id
# of zeros only, and version ff, are invalid (https://www.w3.org/TR/trace-context/#traceparent-header).
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_LATER_FIELDS = re.compile(r"(?:-[\x21-\x7e]{0,128})?")


def accept_or_make(value: str | None, parent: str | None = None) -> str:
    """The id of a request that came with these two; `parent` is a valid `traceparent`."""
    if value is not None and _SANE.fullmatch(value):
        return value
    return uuid4().hex if parent is None else trace_id(parent)


def valid_traceparent(value: str | None) -> str | None:
    """What of a header can be passed on: the four fields that are known, or nothing."""
    known = _TRACEPARENT.match(value) if value is not None else None
    if known is None or value is None:
        return None
    later = value[known.end() :]
    if later and (value.startswith("00") or not _LATER_FIELDS.fullmatch(later)):
        return None
    return known.group()


def trace_id(parent: str) -> str:
    return parent[3:35]
