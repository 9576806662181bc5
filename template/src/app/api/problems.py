"""The answers to requests that fail, as problem details (RFC 9457).

One table maps each error to a status. A provider that is too busy is a 503 there: 429 is for the
service's own limits.
"""

import http
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, JsonValue
from pydantic_core import PydanticSerializationError, from_json, to_json
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.api.allowed import with_all_methods
from app.clients.account import uncount_request
from app.errors import (
    BudgetSpentError,
    CircuitOpenError,
    ClientLimitError,
    ContextTooLongError,
    DocumentsNotReadyError,
    LimitReachedError,
    LLMError,
    MaxTokensError,
    ModelNotAllowedError,
    NothingCanAnswerError,
    OverloadedError,
    ProviderTimeoutError,
    RateLimitError,
    RequestRefusedError,
    TokenLimitError,
    UnknownModelError,
    UnknownProviderError,
    UnsupportedRequestError,
)
from app.telemetry.correlation import request_id
from app.telemetry.redaction import masked_text
from app.validation import place, reason

_log = structlog.get_logger(__name__)

CLIENT_CLOSED = 499  # nginx's number for a client that did not wait for its answer


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
    details: JsonValue = Field(
        default=None, description="The facts of an endpoint's own error, where it gives any."
    )
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
_UNAUTHORIZED = _Kind(401, "unauthorized", "The client is not known")
_FORBIDDEN = _Kind(403, "forbidden", "The client may not do this")
_UNEXPECTED = _Kind(500, "internal-error", "The service failed")

_BY_ERROR: Mapping[type, _Kind] = {
    UnknownProviderError: _Kind(422, "unknown-provider", "The service does not have this provider"),
    UnknownModelError: _Kind(404, "model-not-found", "The provider does not have this model"),
    RequestRefusedError: _Kind(422, "request-refused", "The provider does not accept the request"),
    ContextTooLongError: _Kind(422, "context-too-long", "The request is too long for the model"),
    TokenLimitError: _Kind(
        422, "token-limit", "The request needs more tokens than a minute allows"
    ),
    UnsupportedRequestError: _Kind(422, "unsupported-request", "The provider does not offer this"),
    ProviderTimeoutError: _Kind(504, "timed-out", "The provider did not answer in time"),
    LimitReachedError: _Kind(429, "too-many-requests", "The service takes no more for now"),
    OverloadedError: _Kind(503, "overloaded", "The service is busy"),
    BudgetSpentError: _Kind(402, "budget-spent", "The client's budget of the day is spent"),
    ClientLimitError: _Kind(429, "client-limit-reached", "A limit of the client is reached"),
    ModelNotAllowedError: _Kind(403, "model-not-allowed", "The service does not allow the model"),
    MaxTokensError: _Kind(422, "max-tokens-too-high", "The answer may not be as long as requested"),
    CircuitOpenError: _Kind(503, "provider-unavailable", "The provider is left alone for a while"),
    RateLimitError: _Kind(503, "provider-busy", "The provider asks for a pause"),
    DocumentsNotReadyError: _Kind(503, "documents-not-ready", "The documents are being read"),
    NothingCanAnswerError: _Kind(503, "nothing-can-answer", "No provider can answer"),
    LLMError: _Kind(502, "provider-failed", "The provider failed"),
}


def _kind(error: LLMError) -> _Kind:
    return next(_BY_ERROR[cls] for cls in type(error).__mro__ if cls in _BY_ERROR)


def describe(error: Exception, *, debug: bool = False) -> Problem:
    """Convert any error to a problem with the facts that a caller may see; log unexpected errors."""
    if isinstance(error, BudgetSpentError):
        facts = {"renews_at": error.renews_at}
        return _kind(error).problem(error.message, details=facts)
    if isinstance(error, LLMError):
        return _kind(error).problem(masked_text(error.message))
    _log.error("http.failed", exc_info=error)
    return _UNEXPECTED.problem(
        "The error is in the log, under the request id.",
        debug=masked_text(f"{type(error).__name__}: {error}") if debug else None,
    )


class ProblemResponse(Response):
    media_type = "application/problem+json"

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(problem.as_json(), problem.status, headers)


async def on_llm_error(_request: Request, error: LLMError) -> Response:
    if isinstance(error, OverloadedError | LimitReachedError):  # refused by us, and not sent
        uncount_request()
    wait_s = error.retry_after_s
    headers = {} if wait_s is None else {"Retry-After": str(math.ceil(wait_s))}
    return ProblemResponse(describe(error), headers)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    if isinstance(error.__cause__, ClientDisconnect):  # while its body was read
        return Response(status_code=CLIENT_CLOSED)
    if _is_undecodable_body(error):
        _log.info("request.refused", errors=[{"loc": ["body"], "type": "undecodable"}])
        return ProblemResponse(_INVALID.problem("The body is not JSON in UTF-8."))
    headers = with_all_methods(request, _header_safe(error.headers or {}))
    if error.status_code in _WITHOUT_BODY:
        return Response(status_code=error.status_code, headers=headers)
    return ProblemResponse(http_problem(error.status_code, error.detail), headers)


class InvalidBodyError(HTTPException):
    """A body that is refused before it is parsed."""

    def __init__(self, detail: str) -> None:
        super().__init__(_INVALID.status, detail)


async def _on_invalid_body(_request: Request, error: InvalidBodyError) -> Response:
    return ProblemResponse(_INVALID.problem(error.detail))


def _is_undecodable_body(error: HTTPException) -> bool:
    """Recognize FastAPI's own error for a body that it cannot decode.

    Its status alone is not enough: an endpoint's own 400 is passed on as it is.
    """
    return error.__cause__ is not None and error.detail == _FASTAPI_CANNOT_DECODE


_FASTAPI_CANNOT_DECODE = "There was an error parsing the body"
_WITHOUT_BODY = {204, 205, 304}
_OF_THE_BODY = {"content-type", "content-length"}


def _header_safe(headers: Mapping[str, object]) -> dict[str, str]:
    """Drop headers that describe another body; turn numbers into text."""
    return {name: str(value) for name, value in headers.items() if name.lower() not in _OF_THE_BODY}


def http_problem(status: int, detail: object) -> Problem:
    """Make a problem of a status and its detail, which may be any value, as FastAPI allows.

    `Problem.detail` is text (RFC 9457). A value that is not becomes the extension member `details`;
    `detail` is then the value's `message`, or the value as JSON.
    """
    text, details = _text_and_details(detail)
    return Problem(
        type="about:blank",
        title=_phrase(status),
        status=status,
        detail=text,
        request_id=request_id.get(),
        details=details,
    )


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _text_and_details(detail: object) -> tuple[str, JsonValue]:
    if isinstance(detail, str):
        return _encodable(detail), None
    try:
        encoded = to_json(detail, bytes_mode="base64", inf_nan_mode="null", serialize_unknown=True)
    except PydanticSerializationError:  # a circle, or half a surrogate pair
        return _encodable(str(detail)), None
    details: JsonValue = from_json(encoded)
    message = details.get("message") if isinstance(details, dict) else None
    return message if isinstance(message, str) else encoded.decode(), details


def unauthorized(detail: str) -> Problem:
    return _UNAUTHORIZED.problem(detail)


def forbidden(detail: str) -> Problem:
    return _FORBIDDEN.problem(detail)


def invalid_header(name: str, why: str) -> Problem:
    errors = [FieldError(loc=["header", name], msg=why, type="value_error")]
    return _INVALID.problem(_summary(errors), errors=errors)


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
    """Read one error of Pydantic. An endpoint may raise a `RequestValidationError` of its own, with less in it."""
    loc, kind = list(found.get("loc", ("body",))), str(found.get("type", "value_error"))
    msg = reason(str(found.get("msg", "not valid")))
    if kind == "json_invalid" and "ctx" in found:
        msg = f"not JSON: {found['ctx']['error']} at character {loc[-1]}"
        loc = ["body"]
    elif loc == ["body"] and kind in _NO_OBJECT:
        msg = "a JSON object with Content-Type: application/json is expected"
    return FieldError(loc=[_printable(part) for part in loc], msg=_encodable(msg), type=kind)


# Pydantic's types of error for a body that is missing or no JSON object. Other errors of the whole
# body are those of an endpoint's own validators, which give a reason.
_NO_OBJECT = {"missing", "model_attributes_type", "model_type", "dict_type", "dataclass_type"}


def _printable(part: object) -> int | str:
    """Shorten the names of fields, which callers choose."""
    return part if isinstance(part, int) else _encodable(str(part)[:_MAX_LOC_CHARS])


def _encodable(text: str) -> str:
    """Escape half surrogate pairs, which UTF-8 cannot encode."""
    return text.encode("utf-8", "backslashreplace").decode()


def _summary(errors: Sequence[FieldError]) -> str:
    """Name the places as a caller would, without the word `body` before each of them."""
    return "; ".join(f"{place(found.loc[1:]) or 'body'}: {found.msg}" for found in errors[:3])


Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]
HANDLERS: Mapping[type[Exception] | int, Handler] = {
    LLMError: on_llm_error,
    InvalidBodyError: _on_invalid_body,
    HTTPException: _on_http_exception,
    RequestValidationError: _on_invalid_request,
}
