"""What traces cost: the CPU time of the service per request, with every request traced and with none.

The collector is in this process and only says yes; encoding and sending count, as they do in earnest.
"""

import statistics
import time
import timeit
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from app.telemetry.tracing import OFF
from scripts.bench.figure import Figure
from scripts.bench.telemetry import rounds_ms, running, share_percent

_SPANS = 50_000


def on_and_off() -> Iterator[Figure]:
    with (
        _collector() as url,
        running("mock_api") as mock,
        running("scripts.bench.service", "with", mock=mock) as untraced,
        running(
            "scripts.bench.service",
            "with",
            mock=mock,
            ENABLE_TRACING="true",
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
        ) as traced,
    ):
        off_ms, on_ms = rounds_ms(untraced, traced)
    yield Figure("/v1/chat with tracing off, CPU", statistics.median(off_ms), "ms")
    yield Figure("/v1/chat with tracing on, CPU", statistics.median(on_ms), "ms")
    yield Figure("tracing every request, of the request", share_percent(on_ms, off_ms), "%")
    seconds = min(timeit.repeat(_span, number=_SPANS, repeat=3, timer=time.process_time)) / _SPANS
    yield Figure("a span with tracing off", seconds * 1e6, "µs", limit=5.0)


def _span() -> None:
    with OFF.span("bench", {}) as span, span.current():
        pass


@contextmanager
def _collector() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Accepting) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Accepting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing between the figures."""
