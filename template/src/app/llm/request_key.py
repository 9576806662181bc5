"""The key by which requests are identical, for the cache and for shared calls."""

import json
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Any

from app.llm.types import ChatRequest
from app.resilience import deadline

# The version of keys and cached values: raise it, and values of an older release are not read.
_VERSION = 5


def request_key(request: ChatRequest, *, provider: str | None, address: str | None = None) -> str:
    """Requests with equal keys are identical: one answer can serve both.

    `provider` is the one that will answer, as far as that is known, at its `address`: an answer of a
    mock or a test account must not outlive the switch to the real one. No two tenants share a key.
    Two versions of a prompt with the same text and parameters do.
    """
    asked = replace(request, provider=None, fresh=False, prompt=None, receipt=None)
    # JSON, because its quoting keeps two different requests from looking the same.
    return sha256(_JSON.encode([_VERSION, provider, address, asked]).encode()).hexdigest()


def flight_key(request: ChatRequest) -> str:
    """The key of requests that share a running call.

    The call has the deadline of its first caller. So callers with deadlines share a call if they allow
    the same time; the middleware ends the wait of each of them at its own deadline.
    """
    key = request_key(request, provider=request.provider)
    callers = deadline.current.get()
    return key if callers is None else f"{key}/{callers.allowed_s}"


def _plain(value: Any) -> object:  # noqa: ANN401 - any part of a request
    """The fields of a part, with its kind: two kinds with equal fields are different."""
    if is_dataclass(value):
        kind: Any = type(value)
        return [kind.__name__, *[getattr(value, name) for name in _field_names(kind)]]
    return dict(value)


@lru_cache  # `fields` takes a call for each field, and each request has two keys
def _field_names(kind: Any) -> tuple[str, ...]:  # noqa: ANN401 - the class of a dataclass
    return tuple(field.name for field in fields(kind))


_JSON = json.JSONEncoder(default=_plain)
