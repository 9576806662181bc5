"""What the log says of a request: one line, and the exception that no other code handles."""

import asyncio
import logging
import time

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.deadline import DEADLINE_HEADERS, CallerDeadline
from app.api.problems import CLIENT_CLOSED, ProblemResponse, describe, stopped
from app.telemetry.correlation import client
from app.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)

FIRST_SERVER_ERROR = 500

# Asked every few seconds by machines. A line each would be most of the log.
PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/metrics/summary"})


class AccessLog:
    """Write one line and count once per request, by the route's template: never by its path."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = CLIENT_CLOSED
        started = time.perf_counter()
        self._metrics.http_started()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            self._report(scope, status, time.perf_counter() - started)

    def _report(self, scope: Scope, status: int, duration_s: float) -> None:
        method, route = scope["method"], template(scope)
        self._metrics.http_request(method, route, status, duration_s)
        if (name := client.get()) is not None:
            self._metrics.client_request(name, status)
        _log.log(
            _level(route, status),
            "http.request",
            method=method,
            route=route,
            status=status,
            duration_ms=round(duration_s * 1000, 3),
        )


def template(scope: Scope) -> str:
    path = getattr(scope.get("route"), "path_format", None)
    return path if isinstance(path, str) else "unmatched"


def _level(route: str, status: int) -> int:
    if status >= FIRST_SERVER_ERROR:
        return logging.WARNING
    return logging.DEBUG if route in PROBES else logging.INFO


class ErrorBoundary:
    """Last-resort handler: logs an unexpected exception once and answers with a generic 500.

    And for requests that a stopping service cannot wait for any longer. A request with the deadline of
    its caller passes `CallerDeadline`; others take no part of its time.
    """

    def __init__(self, app: ASGIApp, *, debug: bool = False) -> None:
        self._app = app
        self._debug = debug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        names = {name for name, _ in scope["headers"]}
        app = self._app if DEADLINE_HEADERS.isdisjoint(names) else CallerDeadline(self._app)
        started = False

        async def send_and_note(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await app(scope, receive, send_and_note)
        except asyncio.CancelledError:  # or the server would answer, with a 500 in plain text
            if not started:
                await ProblemResponse(stopped())(scope, receive, send)
            raise
        except Exception as error:  # noqa: BLE001 - the process's outermost handler
            problem = describe(error, debug=self._debug)
            if not started:  # otherwise the server hangs up on the half answer
                await ProblemResponse(problem)(scope, receive, send)
