"""Everything that the service answers when it cannot do what it was asked (RFC 9457).

One table says which error is which status. 429 is not in it: that is for the service's own limit,
while a provider that is too busy is a 503.
"""

import http
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from app.errors import (
    CircuitOpen,
    DocumentsNotReady,
    LimitReached,
    LLMError,
    NothingCanAnswer,
    RateLimited,
    TimedOut,
    UnknownProvider,
    UnsupportedRequest,
)
from app.telemetry.correlation import request_id

_log = structlog.get_logger(__name__)


class FieldError(BaseModel):
    """One thing that is wrong with a request, and where."""

    loc: list[int | str] = Field(examples=[["body", "messages", 0, "content"]])
    msg: str
    type: str


class Problem(BaseModel):
    type: str = Field(examples=["urn:problem:timed-out"])
    title: str
    status: int
    detail: str
    request_id: str | None = None
    errors: list[FieldError] | None = Field(default=None, description="Only with status 422.")
    text: str | None = Field(default=None, description="What a broken stream had sent before.")
    debug: str | None = Field(default=None, description="Only with DEBUG_MODE, never in prod.")

    def as_json(self) -> bytes:
        return self.model_dump_json(exclude_none=True).encode()


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    slug: str
    title: str

    def problem(self, detail: str, **more: Any) -> Problem:  # noqa: ANN401 - members of Problem
        return Problem(
            type=f"urn:problem:{self.slug}",
            title=self.title,
            status=self.status,
            detail=detail,
            request_id=request_id.get(),
            **more,
        )


_INVALID = _Kind(422, "invalid-request", "The request is not valid")
_UNEXPECTED = _Kind(500, "internal-error", "The service failed")

_BY_ERROR: Mapping[type, _Kind] = {
    UnknownProvider: _Kind(422, "unknown-provider", "The service does not have this provider"),
    UnsupportedRequest: _Kind(422, "unsupported-request", "The provider does not offer this"),
    TimedOut: _Kind(504, "timed-out", "The provider did not answer in time"),
    LimitReached: _Kind(429, "too-many-requests", "The service takes no more for now"),
    CircuitOpen: _Kind(503, "provider-unavailable", "The provider is left alone for a while"),
    RateLimited: _Kind(503, "provider-busy", "The provider asks for a pause"),
    DocumentsNotReady: _Kind(503, "documents-not-ready", "The documents are being read"),
    NothingCanAnswer: _Kind(503, "nothing-can-answer", "No provider can answer"),
    LLMError: _Kind(502, "provider-failed", "The provider failed"),
}


def _kind(error: LLMError) -> _Kind:
    return next(_BY_ERROR[cls] for cls in type(error).__mro__ if cls in _BY_ERROR)


def describe(error: Exception, *, debug: bool = False) -> Problem:
    """Turn any error into what the caller may know of it; log the ones that nobody expected."""
    if isinstance(error, LLMError):
        return _kind(error).problem(error.message)
    _log.error("http.failed", exc_info=error)
    return _UNEXPECTED.problem(
        "The error is in the log, under the request id.",
        debug=f"{type(error).__name__}: {error}" if debug else None,
    )


class ProblemResponse(Response):
    media_type = "application/problem+json"

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.as_json(), problem.status, headers)


async def _on_llm_error(_request: Request, error: LLMError) -> Response:
    wait_s = error.retry_after_s
    headers = {} if wait_s is None else {"Retry-After": str(math.ceil(wait_s))}
    return ProblemResponse(describe(error), headers)


async def _on_http_exception(_request: Request, error: HTTPException) -> Response:
    if error.status_code == http.HTTPStatus.BAD_REQUEST:
        # FastAPI's answer to a body that it cannot decode, as opposed to one it can but refuses.
        _log.info("request.refused", errors=[{"loc": ["body"], "type": "undecodable"}])
        return ProblemResponse(_INVALID.problem("The body is not JSON in UTF-8."))
    return ProblemResponse(http_problem(error.status_code, error.detail), error.headers)


def http_problem(status: int, detail: str) -> Problem:
    """Say what the status alone says: a path or a method that does not exist, a body too large."""
    title = http.HTTPStatus(status).phrase
    return Problem(
        type="about:blank", title=title, status=status, detail=detail, request_id=request_id.get()
    )


def stopped() -> Problem:
    """Say it when the server stops, and has waited long enough for a request that still runs."""
    return http_problem(503, "The service stopped before the answer was complete.")


async def _on_invalid_request(_request: Request, error: RequestValidationError) -> Response:
    errors = [_field_error(found) for found in error.errors()[:_MAX_FIELD_ERRORS]]
    _log.info("request.refused", errors=[found.model_dump() for found in errors])
    return ProblemResponse(_INVALID.problem(_summary(errors), errors=errors))


# A megabyte of unknown fields must not come back as ten megabytes of complaints.
_MAX_FIELD_ERRORS = 20
_MAX_LOC_CHARS = 100


def _field_error(found: Mapping[str, Any]) -> FieldError:
    loc, msg = list(found["loc"]), found["msg"].removeprefix("Value error, ")
    if found["type"] == "json_invalid":
        msg = f"not JSON: {found['ctx']['error']} at character {loc[-1]}"
        loc = ["body"]
    elif loc == ["body"]:
        msg = "a JSON object with Content-Type: application/json is expected"
    return FieldError(loc=[_printable(part) for part in loc], msg=msg, type=found["type"])


def _printable(part: int | str) -> int | str:
    """Callers name their fields; half a surrogate pair in one cannot be encoded."""
    if isinstance(part, int):
        return part
    return part[:_MAX_LOC_CHARS].encode("utf-8", "backslashreplace").decode()


def _summary(errors: Sequence[FieldError]) -> str:
    return "; ".join(f"{_path(found.loc)}: {found.msg}" for found in errors[:3])


def _path(loc: Sequence[int | str]) -> str:
    """Write a place as a caller would: `messages[0].content`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc[1:]]
    return "".join(parts).removeprefix(".") or "body"


Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]
HANDLERS: Mapping[type[Exception] | int, Handler] = {
    LLMError: _on_llm_error,
    HTTPException: _on_http_exception,
    RequestValidationError: _on_invalid_request,
}
