"""Spans by themselves: what is current when, how they end, and that none is made when tracing is off."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

import pytest

from app.telemetry.correlation import traceparent
from app.telemetry.tracing import OFF, Tracer, inside
from tests.telemetry.spans import Spans, facts, traceparent_of


@pytest.fixture
async def spans() -> AsyncIterator[Spans]:
    spans = Spans()
    async with spans.tracer.exporting():
        yield spans


async def heard(seen: list[str | None]) -> AsyncGenerator[int, None]:
    try:
        for number in range(3):
            seen.append(traceparent.get())
            yield number
    finally:
        seen.append(traceparent.get())


async def test_a_stream_is_made_inside_its_span_and_read_outside_of_it(spans: Spans) -> None:
    seen: list[str | None] = []
    with spans.tracer.span("stream", {}) as span:
        async for _ in inside(span, heard(seen)):
            assert traceparent.get() is None
    assert seen == [traceparent_of(spans.one("stream"))] * 4


async def test_a_stream_may_be_closed_by_another_task_than_its_reader(spans: Spans) -> None:
    seen: list[str | None] = []
    with spans.tracer.span("stream", {}) as span:
        items = inside(span, heard(seen))
        await asyncio.create_task(anext(items))
        await items.aclose()
    assert seen == [traceparent_of(spans.one("stream"))] * 2


async def test_a_failure_has_its_type_and_not_its_message(spans: Spans) -> None:
    with pytest.raises(ValueError, match="secret"), spans.tracer.span("work", {}):
        raise ValueError("a secret")
    assert facts(spans.one("work")) == {"error.type": "ValueError"}
    assert "secret" not in spans.text


async def test_who_is_given_up_has_not_failed(spans: Spans) -> None:
    async def work() -> None:
        with spans.tracer.span("work", {}):
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    given_up = spans.one("work")
    assert facts(given_up) == {"error.type": "cancelled"}
    assert given_up.status.is_unset


async def test_a_stream_that_is_left_early_is_given_up(spans: Spans) -> None:
    async def traced() -> AsyncGenerator[int, None]:
        with spans.tracer.span("stream", {}) as span:
            async with aclosing(inside(span, heard([]))) as items:
                async for item in items:
                    yield item

    async with aclosing(traced()) as items:
        await anext(items)
    assert facts(spans.one("stream")) == {"error.type": "cancelled"}


async def test_what_is_not_known_is_left_out(spans: Spans) -> None:
    with spans.tracer.span("work", {"known": 0, "unknown": None}):
        pass
    assert facts(spans.one("work")) == {"known": 0}


@pytest.mark.parametrize("tracer", [OFF, Spans().tracer], ids=["off", "disabled by OpenTelemetry"])
async def test_a_tracer_that_is_off_leaves_the_callers_trace_alone(
    tracer: Tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = tracer if tracer is OFF else Spans().tracer
    async with tracer.exporting():
        with tracer.span("work", {"a": 1}, kind="client") as span, span.current():
            span.note({"b": 2})
            span.rename("other")
            span.failed("Anything")
            assert traceparent.get() is None
