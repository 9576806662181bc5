from opentelemetry.trace import SpanKind, Tracer
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.requests import FIRST_SERVER_ERROR, PROBES, UNMATCHED
from app.telemetry import conventions as semconv
from app.telemetry.correlation import client, request_id
from app.telemetry.metrics import METHODS
from app.telemetry.tracing import current, set_attributes, set_failed, span_of


class Tracing:
    """One span per request. With a `traceparent` header, it is a child of the caller's span.

    Inside `Correlation`, which has read that header, and outside of `Requests`: its line
    carries the id of the trace. Probes would be most of the traces, and have none.
    """

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "OTHER"
        attributes = {
            semconv.HTTP_METHOD: "_OTHER" if method == "OTHER" else method,
            semconv.URL_PATH: scope["path"],
            semconv.URL_SCHEME: scope["scheme"],
            semconv.HTTP_REQUEST_ID: [request_id.get() or ""],
        }
        with span_of(self._tracer, method, attributes, kind=SpanKind.SERVER) as span, current(span):

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute(semconv.HTTP_STATUS, status)
                    if status >= FIRST_SERVER_ERROR:
                        set_failed(span, str(status))
                await send(message)

            try:
                await self._app(scope, receive, send_and_note)
            finally:
                route = getattr(scope.get("route"), "path_format", UNMATCHED)
                span.update_name(f"{method} {route}")
                span.set_attribute(semconv.HTTP_ROUTE, route)
                if (name := client.get()) is not None:
                    set_attributes(span, {semconv.CLIENT: name})
