"""Problems of the service as errors in OpenAI's envelope, with the statuses that its SDK expects."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.api.events import media_type_of
from app.api.problems import Problem

PREFIX = "/openai/"

_PROBLEM = "application/problem+json"
_INVALID = "invalid_request_error"
_FIRST_SERVER_ERROR = 500
# All providers have failed or not answered. After a 503 a later attempt helps: it has `Retry-After`.
_AFTER_RETRIES = frozenset({502, 504})


class _Kind(NamedTuple):
    status: int
    type: str
    code: str | None


_BY_SLUG: Mapping[str, _Kind] = {
    "context-too-long": _Kind(400, _INVALID, "context_length_exceeded"),
    "model-not-found": _Kind(404, _INVALID, "model_not_found"),
    "model-not-allowed": _Kind(403, _INVALID, "model_not_allowed"),
    "unsupported-request": _Kind(400, _INVALID, "unsupported_value"),
    "too-many-requests": _Kind(429, "requests", "rate_limit_exceeded"),
    "client-limit-reached": _Kind(429, "requests", "rate_limit_exceeded"),
    "budget-spent": _Kind(429, "insufficient_quota", "insufficient_quota"),
}
_BY_STATUS: Mapping[int, _Kind] = {
    401: _Kind(401, _INVALID, "invalid_api_key"),
    402: _Kind(429, "insufficient_quota", "insufficient_quota"),
    404: _Kind(404, _INVALID, "unknown_url"),
    422: _Kind(400, _INVALID, None),
    429: _Kind(429, "requests", "rate_limit_exceeded"),
}


def _kind(slug: str, status: int) -> _Kind:
    code = None if slug == "about:blank" else slug.replace("-", "_")
    if status >= _FIRST_SERVER_ERROR:
        return _Kind(status, "server_error", code)
    return _BY_SLUG.get(slug) or _BY_STATUS.get(status) or _Kind(status, _INVALID, code)


class Error(TypedDict):
    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(TypedDict):
    error: Error


_CONTENT = {"application/json": media_type_of(ErrorBody)}


def openai_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documentation of the statuses, and of any other refusal."""
    found: dict[int | str, dict[str, Any]] = {
        status: {"content": _CONTENT, "description": HTTPStatus(status).phrase}
        for status in statuses
    }
    return {**found, "4XX": {"content": _CONTENT, "description": "The request is refused"}}


def error_body(problem: Mapping[str, Any]) -> tuple[int, ErrorBody]:
    """The status and the body of a problem in OpenAI's form."""
    slug = str(problem["type"]).removeprefix("urn:problem:")
    kind = _kind(slug, int(problem["status"]))
    error: Error = {
        "message": problem["detail"],
        "type": kind.type,
        "param": _param(problem.get("errors") or ()),
        "code": kind.code,
    }
    return kind.status, {"error": error}


def error_of(problem: Problem) -> ErrorBody:
    """The last event of a stream that fails."""
    return error_body(problem.model_dump(exclude_none=True))[1]


def _param(errors: Sequence[Mapping[str, Any]]) -> str | None:
    """The first wrong field as OpenAI writes it: `messages[0].content`."""
    if not errors:
        return None
    path = [part for part in errors[0]["loc"] if part != "body"]
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or None


class OpenAIErrors:
    """Converts the problems of a request below `PREFIX`, those of the middleware included.

    It holds a problem until its body is whole, and passes every other answer on. `owns_retries`: the
    service has repeated a failed call, so the SDK must not repeat it once more.
    """

    def __init__(self, send: Send, *, owns_retries: bool) -> None:
        self._send = send
        self._final = _AFTER_RETRIES if owns_retries else frozenset()
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start, self._body = message, b""
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_error(self._start)

    async def _send_error(self, start: Message) -> None:
        status, error = error_body(orjson.loads(self._body))
        body = orjson.dumps(error)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-type"] = "application/json"
        headers["content-length"] = str(len(body))
        if status in self._final or error["error"]["code"] == "insufficient_quota":
            headers["x-should-retry"] = "false"  # the SDK repeats each other 429 and 5xx
        await self._send({**start, "status": status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def _is_problem(start: Message) -> bool:
    return MutableHeaders(scope=start).get("content-type") == _PROBLEM
