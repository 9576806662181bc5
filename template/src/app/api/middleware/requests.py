"""What each request has: an id, a line in the log, and an answer even if the code fails.

A caller may send `X-Request-ID`, or `traceparent` (W3C Trace Context), or both. A valid
`X-Request-ID` becomes the request id. Without one, the trace id is used, so that one id finds the
request in the caller's traces and in our logs. Without both, a new id is generated.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.deadline import DEADLINE_HEADERS, CallerDeadline
from app.api.openai.errors import PREFIX, OpenAIErrors
from app.api.problems import CLIENT_CLOSED, ProblemResponse, describe, stopped
from app.telemetry.correlation import client, request_id, tenant, trace_id, traceparent
from app.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)

FIRST_SERVER_ERROR = 500

# Asked every few seconds by machines. A line each would be most of the log.
PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/metrics/summary"})
UNMATCHED = "unmatched"  # the route of a request that has none

# An accepted id is repeated in logs, headers and calls to providers. So it must not end a line,
# close a quote or fill a disk. 128 characters are enough for a UUID, a ULID or a `traceparent`.
SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+-]{0,127}")

# Version, trace id, span id, flags. A later version may append fields. An id that is all zeros, and
# version ff, are invalid (https://www.w3.org/TR/trace-context/#traceparent-header).
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
)
_LATER_FIELDS = re.compile(r"(?:-[\x21-\x7e]{0,128})?")

# Answers depend on the client's key, so no cache on the way may keep them. The files of `/docs` are
# public.
_NO_STORE = (b"cache-control", b"no-store")
_KEPT = "/docs"


class Correlation:
    """Give every request an id: the caller's if it is sane."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The first of several with one name. `Headers` takes three Python calls for each value.
        headers = {name: value.decode("latin-1") for name, value in reversed([*scope["headers"]])}
        sent, parent = headers.get(b"x-request-id", ""), headers.get(b"traceparent")
        parent = valid_traceparent(parent) if parent else None
        if not SANE_ID.fullmatch(sent):
            sent = trace_id(parent) if parent else uuid4().hex
        tokens = request_id.set(sent), traceparent.set(parent)
        caller = client.set(None), tenant.set(None)  # `ClientAuth` and `Tenant` set them
        try:
            await self._app(scope, receive, send)
        finally:
            request_id.reset(tokens[0])
            traceparent.reset(tokens[1])
            client.reset(caller[0])
            tenant.reset(caller[1])


def valid_traceparent(value: str) -> str | None:
    """The four known fields of a `traceparent` header, or `None` if the header is invalid."""
    known = _TRACEPARENT.match(value)
    if known is None:
        return None
    later = value[known.end() :]
    if later and (value.startswith("00") or not _LATER_FIELDS.fullmatch(later)):
        return None
    return known.group()


@dataclass(slots=True)
class _Answer:
    """Sends the answer to one request, with the headers that each answer has."""

    send: Send
    path: str
    request_id: str
    status: int | None = None  # until the answer starts

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self.request_id.encode())]
            if not self.path.startswith(_KEPT):
                headers.append(_NO_STORE)
            message = {**message, "headers": headers}
        await self.send(message)


Wrapping = Callable[[ASGIApp], ASGIApp]


def no_cors(app: ASGIApp) -> ASGIApp:
    return app


class Requests:
    """Write one line and count once per request; answer it if an error or a shutdown cuts it off.

    The line and the metrics have the route's template, never the path. An unexpected error is logged
    once, and its answer is a generic 500.

    `cors` wraps the application and the answers to errors: without its headers, a browser does not
    show them to a site. Only the requests that need them pass `CallerDeadline` (a request with the
    deadline of its caller) and `OpenAIErrors` (a path below `/openai/`).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        debug: bool = False,
        owns_retries: bool = True,
        cors: Wrapping = no_cors,
    ) -> None:
        self._metrics = metrics
        self._debug = debug
        self._owns_retries = owns_retries
        self._cors = cors
        self._app = cors(app)
        self._app_in_time = cors(CallerDeadline(app))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        self._metrics.http_in_flight += 1
        send = answer = _Answer(send, scope["path"], request_id.get() or "")
        if scope["path"].startswith(PREFIX):
            send = OpenAIErrors(answer, owns_retries=self._owns_retries)
        has_deadline = not DEADLINE_HEADERS.isdisjoint(dict(scope["headers"]))
        try:
            await (self._app_in_time if has_deadline else self._app)(scope, receive, send)
        except asyncio.CancelledError:  # or the server would answer, with a 500 in plain text
            if answer.status is None:
                await self._cors(ProblemResponse(stopped()))(scope, receive, send)
            raise
        except Exception as error:  # noqa: BLE001 - the process's outermost handler
            problem = describe(error, debug=self._debug)
            if answer.status is None:  # otherwise the server hangs up on the half answer
                await self._cors(ProblemResponse(problem))(scope, receive, send)
        finally:
            self._metrics.http_in_flight -= 1
            self._report(scope, answer.status or CLIENT_CLOSED, time.perf_counter() - started)

    def _report(self, scope: Scope, status: int, duration_s: float) -> None:
        method = scope["method"]
        route = getattr(scope.get("route"), "path_format", UNMATCHED)
        self._metrics.http_request(method, route, status, duration_s)
        if (name := client.get()) is not None:
            self._metrics.client_request(name, status)
        level = logging.DEBUG if route in PROBES else logging.INFO
        _log.log(
            logging.WARNING if status >= FIRST_SERVER_ERROR else level,
            "http.request",
            method=method,
            route=route,
            status=status,
            duration_ms=round(duration_s * 1000, 3),
        )
