"""A tracer that keeps its spans, and the service with one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from app.llm.http import Transport
from app.main import create_app
from app.settings import Settings


class Spans:
    """Finished spans, in the order in which they ended: children before their parents."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("tests")

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.all]

    def one(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.all if span.name == name]
        return span

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        return [
            span for span in self.all if span.parent and span_id(span.parent) == span_id(parent)
        ]

    @property
    def text(self) -> str:
        return "\n".join(span.to_json() for span in self.all)


def span_id(span: Any) -> int:
    context = getattr(span, "context", span)
    return int(context.span_id)


def traceparent_of(span: ReadableSpan) -> str:
    assert span.context is not None
    trace, flags = span.context.trace_id, span.context.trace_flags
    return f"00-{trace:032x}-{span.context.span_id:016x}-{flags:02x}"


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@asynccontextmanager
async def traced_service(
    spans: Spans, transport: Transport, **settings: Any
) -> AsyncIterator[httpx2.AsyncClient]:
    quick = {"retry": {"base_delay_s": 0.001, "max_delay_s": 0.001}, "enable_caching": False}
    app = create_app(
        Settings(**{**quick, **settings}), transport=transport, tracer=spans.tracer
    )  # fmt: skip
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://service") as http,
    ):
        yield http
