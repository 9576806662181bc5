"""Exports spans with OpenTelemetry's SDK. Imported only if ENABLE_TRACING is true.

The SDK itself reads the exporter's address, the service name and the sampling from the OTEL_…
variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

# An unreachable collector must not use up the time that a service has to stop.
_LAST_SPANS_S = 5.0


def _batches() -> SpanProcessor:
    """Export spans in the background. A full queue drops spans and does not delay calls."""
    return BatchSpanProcessor(OTLPSpanExporter())


class Export:
    """A tracer without OpenTelemetry's globals: each service in a process has its own traces."""

    def __init__(
        self,
        processor: Callable[[], SpanProcessor] = _batches,
        *,
        last_spans_s: float = _LAST_SPANS_S,
    ) -> None:
        self._processor = processor
        self._last_spans_s = last_spans_s
        self._provider = TracerProvider(shutdown_on_exit=False)
        self.tracer = self._provider.get_tracer("app")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Export spans while the block runs; flush the last ones at its end."""
        self._provider.add_span_processor(self._processor())
        try:
            yield
        finally:
            await asyncio.to_thread(self._send_the_last)

    def _send_the_last(self) -> None:
        """Flush in a thread that can be abandoned: the SDK's own timeouts add up to minutes."""
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(self._last_spans_s)
