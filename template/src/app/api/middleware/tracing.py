from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.access_log import FIRST_SERVER_ERROR, PROBES, template
from app.telemetry import conventions as named
from app.telemetry.correlation import request_id
from app.telemetry.metrics import method_label
from app.telemetry.tracing import Tracer


class Tracing:
    """One span per request, the caller's child where a `traceparent` came with it.

    Inside `Correlation`, which has read that header, and outside of `AccessLog`, whose line should
    carry the id of the trace. Probes would be most of the traces, and have none.
    """

    def __init__(self, app: ASGIApp, *, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PROBES:
            await self._app(scope, receive, send)
            return
        method = method_label(scope["method"])
        told = {
            named.HTTP_METHOD: "_OTHER" if method == "OTHER" else method,
            named.URL_PATH: scope["path"],
            named.URL_SCHEME: scope["scheme"],
            named.HTTP_REQUEST_ID: [request_id.get() or ""],
        }
        with self._tracer.span(method, told, kind="server") as span, span.current():

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.note({named.HTTP_STATUS: status})
                    if status >= FIRST_SERVER_ERROR:
                        span.failed(str(status))
                await send(message)

            try:
                await self._app(scope, receive, send_and_note)
            finally:
                route = template(scope)
                span.rename(f"{method} {route}")
                span.note({named.HTTP_ROUTE: route})
