"""The bytes of the server's own refusals: a problem, like the refusals of the application."""

from collections.abc import Iterable
from uuid import uuid4

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.middleware.requests import SANE_ID
from app.api.problems import http_problem
from app.telemetry.correlation import request_id


def refusal(
    status: int, detail: str, headers: Iterable[tuple[bytes, bytes]], sent_id: str | None
) -> bytes:
    """A whole answer, after which the connection ends. `sent_id` is the request's `X-Request-ID`."""
    is_sane = sent_id is not None and SANE_ID.fullmatch(sent_id)
    token = request_id.set(sent_id if is_sane else uuid4().hex)
    try:
        problem = http_problem(status, detail)
    finally:
        request_id.reset(token)
    body = problem.as_json()
    all_headers = [
        *headers,
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", (problem.request_id or "").encode()),
        (b"connection", b"close"),
    ]
    lines = [b"%b: %b\r\n" % header for header in all_headers]
    return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])
