"""Tracing: a request as a tree of OpenTelemetry's spans, with the rules of this service.

The current span is the `traceparent` of `app.telemetry.correlation`. So log lines contain the trace
id, calls to providers carry it, and spans started inside a span become its children. Other modules
need no code for this.

Names and attributes are masked, because the name of a model and a request id come from the caller.
Messages of errors are not recorded.

`OFF` is the API's no-op tracer. `app.telemetry.otel` has the one that exports.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from app.telemetry.conventions import ERROR_TYPE
from app.telemetry.correlation import traceparent
from app.telemetry.redaction import masked_text

Value = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, Value | None]

OFF: Tracer = NoOpTracer()


@contextmanager
def span_of(
    tracer: Tracer, name: str, attributes: Attributes, *, kind: SpanKind = SpanKind.INTERNAL
) -> Iterator[Span]:
    """Begin a span that ends with the block, and fails if the block raises an error."""
    if tracer is OFF:  # the rest would take 10 µs for nothing
        yield INVALID_SPAN
        return
    parent = NonRecordingSpan(_parent(is_remote=kind is SpanKind.SERVER))
    span = tracer.start_span(masked_text(name), context=set_span_in_context(parent), kind=kind)
    set_attributes(span, attributes)
    try:
        yield span
    except Exception as error:
        set_failed(span, type(error).__name__)
        raise
    except BaseException:  # the caller cancelled, which is not a failure
        span.set_attribute(ERROR_TYPE, "cancelled")
        raise
    finally:
        span.end()


@contextmanager
def current(span: Span) -> Iterator[None]:
    """Make `span` the parent of spans that begin in this block. The block must not `yield`."""
    context = span.get_span_context()
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


def set_attributes(span: Span, attributes: Attributes) -> None:
    """Add attributes. An attribute with the value `None` is not set."""
    for name, value in attributes.items():
        if value is not None:
            span.set_attribute(name, _masked(value))


def set_failed(span: Span, error: str) -> None:
    """Mark the span as failed with the class of an error."""
    span.set_attribute(ERROR_TYPE, error)
    span.set_status(Status(StatusCode.ERROR))


def _parent(*, is_remote: bool) -> SpanContext:
    """The current context, or an invalid one if a new trace starts here."""
    _, trace, span, flags = (traceparent.get() or "00-0-0-00").split("-")
    return SpanContext(
        int(trace, 16), int(span, 16), is_remote=is_remote, trace_flags=TraceFlags(int(flags, 16))
    )


def _masked(value: Value) -> Value:
    if isinstance(value, str):
        return masked_text(value)
    return [masked_text(text) for text in value] if isinstance(value, Sequence) else value
