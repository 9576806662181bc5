"""Measures the CPU time of tracing: per request, with all requests traced and with none.

The collector in this process accepts everything; encoding and sending are measured as in
production.
"""

import statistics
import time
import timeit
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from app.telemetry.tracing import OFF, current, span_of
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
    with span_of(OFF, "bench", {}) as span, current(span):
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
        """Print no access log between the figures."""
