from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from app.streaming.progress import StreamProgress, reported
from app.testing import CapturedLogs, FakeClock


class Texts:
    """A stream of texts, one every half second, that knows whether it was closed."""

    def __init__(self, *texts: str) -> None:
        self.clock = FakeClock()
        self.closed = False
        self._texts = texts

    async def __call__(self) -> AsyncGenerator[str, None]:
        try:
            for text in self._texts:
                await self.clock.sleep(0.5)
                yield text
        finally:
            self.closed = True


async def test_each_step_is_reported_before_the_reader_gets_it() -> None:
    texts = Texts("ab", "c")
    told: list[StreamProgress] = []
    steps = reported(texts(), size=len, tell=told.append, clock=texts.clock.monotonic)
    seen = [(text, len(told)) async for text in steps]
    assert seen == [("ab", 1), ("c", 2)]
    assert told == [StreamProgress(1, 2, 0.5, 0.5), StreamProgress(2, 3, 1.0, 0.5)]


async def test_an_event_without_text_is_not_reported() -> None:
    texts = Texts("", "a", "")
    told: list[StreamProgress] = []
    read = [
        text
        async for text in reported(texts(), size=len, tell=told.append, clock=texts.clock.monotonic)
    ]
    assert read == ["", "a", ""]
    assert told == [StreamProgress(1, 1, 1.0, 1.0)]


async def test_a_callback_that_fails_does_not_break_the_stream(logs: CapturedLogs) -> None:
    calls: list[int] = []

    def fail(progress: StreamProgress) -> None:
        calls.append(progress.chunks)
        raise KeyError("bar")

    assert [text async for text in reported(Texts("a", "b")(), size=len, tell=fail)] == ["a", "b"]
    assert calls == [1]
    (line,) = logs.events("stream.progress_failed")
    assert (line["level"], line["error"]) == ("warning", "KeyError")


async def test_a_reader_that_leaves_closes_the_stream() -> None:
    texts = Texts("a", "b")
    async with aclosing(reported(texts(), size=len, tell=lambda _: None)) as events:
        await anext(events)
    assert texts.closed


async def test_an_error_of_the_stream_arrives() -> None:
    async def broken() -> AsyncGenerator[str, None]:
        yield "a"
        raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        _ = [text async for text in reported(broken(), size=len, tell=lambda _: None)]
