"""The id that ties together everything that happens for one request.

A `ContextVar` follows a request through every task it starts, so a log line three layers down, or
a call to a provider, finds the id without anybody passing it along.
"""

import re
from contextvars import ContextVar
from uuid import uuid4

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# An accepted id is repeated in logs, headers and calls to providers: nothing in it may end a line,
# close a quote or fill a disk. 128 characters hold a UUID, a ULID or a `traceparent`.
_SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+-]{0,127}")


def accept_or_make(value: str | None) -> str:
    if value is not None and _SANE.fullmatch(value):
        return value
    return uuid4().hex
