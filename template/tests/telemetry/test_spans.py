"""Spans alone: the current span, its end, and no spans when tracing is off."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from opentelemetry.trace import SpanKind, Tracer

from app.llm.guards.guard import stacked
from app.llm.guards.traced import TracedAttempts
from app.llm.opened_stream import Observer, OpenedStream
from app.llm.types import StreamEvent, TextDelta
from app.telemetry.correlation import traceparent
from app.telemetry.tracing import OFF, current, set_attributes, set_failed, span_of
from app.testing import FakeChatModel
from tests.llm.samples import REQUEST
from tests.telemetry.spans import Spans, facts, traceparent_of


@pytest.fixture
def spans() -> Spans:
    return Spans()


class Recorder(Observer):
    """Keeps the span under which it and the events of its stream ran."""

    def __init__(self) -> None:
        self.parents: list[str | None] = []

    def delta(self, _text: TextDelta) -> None:
        self.parents.append(traceparent.get())

    async def failed(self, _error: BaseException) -> None:
        self.parents.append(traceparent.get())

    async def events(self) -> AsyncGenerator[StreamEvent, None]:
        try:
            for text in "abc":
                self.parents.append(traceparent.get())
                yield TextDelta(text)
        finally:
            self.parents.append(traceparent.get())

    async def opened(self) -> OpenedStream:
        events = self.events()
        return OpenedStream(await anext(events), events)


async def test_a_stream_is_made_inside_its_span_and_read_outside_of_it(spans: Spans) -> None:
    provider, watching = Recorder(), Recorder()
    with span_of(spans.tracer, "outer", {}) as outer, current(outer):
        with span_of(spans.tracer, "inner", {}) as inner, current(inner):
            stream = await provider.opened()
        await stream.observe(watching)
    async for _ in stream:
        assert traceparent.get() is None
    assert provider.parents == [traceparent_of(spans.one("inner"))] * 4
    own = [traceparent_of(spans.one("outer"))]
    assert watching.parents == [*own, None, None, *own]


async def test_a_stream_may_be_closed_by_another_task_than_its_reader(spans: Spans) -> None:
    provider = Recorder()
    with span_of(spans.tracer, "stream", {}) as span, current(span):
        stream = await asyncio.create_task(provider.opened())
    await stream.aclose()
    assert provider.parents == [traceparent_of(spans.one("stream"))] * 2


async def test_a_failure_has_its_type_and_not_its_message(spans: Spans) -> None:
    with pytest.raises(ValueError, match="secret"), span_of(spans.tracer, "work", {}):
        raise ValueError("a secret")
    assert facts(spans.one("work")) == {"error.type": "ValueError"}
    assert "secret" not in spans.text


async def test_a_cancelled_span_is_not_a_failure(spans: Spans) -> None:
    async def work() -> None:
        with span_of(spans.tracer, "work", {}):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    given_up = spans.one("work")
    assert facts(given_up) == {"error.type": "cancelled"}
    assert given_up.status.is_unset


async def test_a_stream_that_is_closed_early_is_cancelled(spans: Spans) -> None:
    model = stacked(FakeChatModel(["a", "b"]), [TracedAttempts(spans.tracer)])
    async with aclosing(model.stream(REQUEST)) as events:
        await anext(events)
    assert facts(spans.one("attempt fake"))["error.type"] == "cancelled"


async def test_unknown_attributes_are_left_out(spans: Spans) -> None:
    with span_of(spans.tracer, "work", {"known": 0, "unknown": None}):
        pass
    assert facts(spans.one("work")) == {"known": 0}


@pytest.mark.parametrize("tracer", [OFF, Spans().tracer], ids=["off", "disabled by OpenTelemetry"])
async def test_a_tracer_that_is_off_leaves_the_callers_trace_alone(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = tracer if tracer is OFF else Spans().tracer
    with span_of(tracer, "work", {"a": 1}, kind=SpanKind.CLIENT) as span, current(span):
        set_attributes(span, {"b": 2})
        span.update_name("other")
        set_failed(span, "Anything")
        assert traceparent.get() is None
