"""The tracer that exports, by OpenTelemetry's SDK. Imported only where ENABLE_TRACING is true.

Where to, under which name and how much of it is the SDK's business: the variables that begin with
OTEL_ are read by it (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from threading import Thread

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as SDKSpan

from app.telemetry.conventions import ERROR_TYPE
from app.telemetry.correlation import traceparent
from app.telemetry.redaction import masked
from app.telemetry.tracing import Facts, Kind, Span

# A collector that is away must not use up the time in which a service has to stop.
_LAST_SPANS_S = 5.0

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}


def _batches() -> SpanProcessor:
    """Spans leave in the background. A queue that is full drops spans, and never holds up a call."""
    return BatchSpanProcessor(OTLPSpanExporter())


class OTelTracer:
    """No global of OpenTelemetry's is set: two services in one process keep their traces apart."""

    is_on = True

    def __init__(
        self,
        processor: Callable[[], SpanProcessor] = _batches,
        *,
        last_spans_s: float = _LAST_SPANS_S,
    ) -> None:
        self._processor = processor
        self._last_spans_s = last_spans_s
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._tracer = self._provider.get_tracer("app")

    @contextmanager
    def span(self, name: str, facts: Facts, *, kind: Kind = "internal") -> Iterator[Span]:
        started = self._tracer.start_span(
            _clean(name),
            kind=_KINDS[kind],
            context=set_span_in_context(NonRecordingSpan(_parent(is_remote=kind == "server"))),
        )
        span = _OTelSpan(started)
        span.note(facts)
        try:
            yield span
        except Exception as error:
            span.failed(type(error).__name__)
            raise
        except BaseException:  # given up by its caller, which is nobody's failure
            span.note({ERROR_TYPE: "cancelled"})
            raise
        finally:
            started.end()

    @asynccontextmanager
    async def exporting(self) -> AsyncIterator[None]:
        self._provider.add_span_processor(self._processor())
        try:
            yield
        finally:
            await asyncio.to_thread(self._send_the_last)

    def _send_the_last(self) -> None:
        """In a thread that may be left behind: the SDK's own limits add up to minutes."""
        sending = Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(self._last_spans_s)


class _OTelSpan:
    def __init__(self, span: SDKSpan) -> None:
        self._span = span

    def note(self, facts: Facts) -> None:
        for name, value in facts.items():
            if value is not None:
                self._span.set_attribute(name, _clean(value) if isinstance(value, str) else value)

    def rename(self, name: str) -> None:
        self._span.update_name(_clean(name))

    def failed(self, error: str) -> None:
        self._span.set_attribute(ERROR_TYPE, error)
        self._span.set_status(Status(StatusCode.ERROR))

    @contextmanager
    def current(self) -> Iterator[None]:
        context = self._span.get_span_context()
        if not context.is_valid:  # OTEL_SDK_DISABLED
            yield
            return
        token = traceparent.set(
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        )
        try:
            yield
        finally:
            traceparent.reset(token)


def _parent(*, is_remote: bool) -> SpanContext:
    """What is current, or an invalid context: that of a trace which begins here."""
    _, trace, span, flags = (traceparent.get() or "00-0-0-00").split("-")
    return SpanContext(
        int(trace, 16), int(span, 16), is_remote=is_remote, trace_flags=TraceFlags(int(flags, 16))
    )


def _clean(text: str) -> str:
    """The name of a model is the caller's, and somebody will send a key for one."""
    return masked(text.encode("utf-8", "backslashreplace")).decode()
