"""The bytes of the server's own refusals: a problem, like the refusals of the application."""

from collections.abc import Iterable

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.api.middleware.correlation import accept_or_make
from app.api.problems import http_problem
from app.telemetry.correlation import request_id


def refusal(
    status: int, detail: str, headers: Iterable[tuple[bytes, bytes]], sent_id: str | None
) -> bytes:
    """A whole answer, after which the connection ends. `sent_id` is the request's `X-Request-ID`."""
    token = request_id.set(accept_or_make(sent_id))
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
