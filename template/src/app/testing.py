"""Fakes for tests, shipped with the service, to be used instead of mocks.

A fake implements the whole protocol of the real object, so a test cannot pass with an interface
that does not exist.
"""

import asyncio
import io
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from prometheus_client import Metric

from app.llm.types import (
    ChatRequest,
    Done,
    EmbeddingRequest,
    Embeddings,
    FinishReason,
    LLMResponse,
    StreamEvent,
    TextDelta,
    ToolCall,
    Usage,
)
from app.telemetry.logging import Level, LogPolicy, configure
from app.telemetry.metrics import Metrics

Pause = Callable[[], Awaitable[object]]
Piece = str | ToolCall | Exception | Pause
Turn = str | Exception | Sequence[Piece]


class FakeChatModel:
    """A chat model that gives prepared answers.

    Each call takes the next turn; the last turn repeats. A turn is a text, an error, or a sequence
    of texts, tool calls, pauses (functions to call and await) and errors: the chunks of a stream.
    """

    def __init__(
        self, *turns: Turn, name: str = "fake", finish_reason: FinishReason = "stop"
    ) -> None:
        self.name = name
        self.finish_reason: FinishReason = finish_reason
        self.requests: list[ChatRequest] = []
        self.open_streams = 0
        self._turns = list(turns or ("Hello!",))

    async def complete(self, request: ChatRequest) -> LLMResponse:
        return self._response([piece async for piece in self._pieces(request)])

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        self.open_streams += 1
        try:
            pieces = []
            async for piece in self._pieces(request):
                pieces.append(piece)
                if isinstance(piece, str):
                    yield TextDelta(piece)
            yield Done(self._response(pieces))
        finally:
            self.open_streams -= 1

    async def embed(self, request: EmbeddingRequest, /) -> Embeddings:
        """Vectors that depend only on the text."""
        vectors = tuple((float(len(text)), 1.0) for text in request.texts)
        return Embeddings(model="fake-1", vectors=vectors, prompt_tokens=len(vectors))

    def response(self, content: str) -> LLMResponse:
        return LLMResponse(
            id=f"{self.name}-{len(self.requests)}",
            provider=self.name,
            model="fake-1",
            content=content,
            finish_reason=self.finish_reason,
            usage=Usage(prompt_tokens=3, completion_tokens=5, total_tokens=8),
        )

    def _response(self, pieces: Sequence[str | ToolCall]) -> LLMResponse:
        response = self.response("".join(piece for piece in pieces if isinstance(piece, str)))
        calls = tuple([piece for piece in pieces if isinstance(piece, ToolCall)])
        called = {"tool_calls": calls, "finish_reason": "tool_calls"} if calls else {}
        return response.model_copy(update=called)

    async def _pieces(self, request: ChatRequest) -> AsyncGenerator[str | ToolCall, None]:
        self.requests.append(request)
        for piece in self._next_turn():
            if isinstance(piece, str | ToolCall):
                yield piece
            elif isinstance(piece, Exception):
                raise piece
            else:
                await piece()

    def _next_turn(self) -> Sequence[Piece]:
        turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
        return [turn] if isinstance(turn, str | Exception) else turn


@dataclass
class FakeClock:
    """A clock that only advances during `sleep`."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class CapturedLogs:
    """The captured log lines, exactly as the process would have written them."""

    def __init__(self, stream: io.BytesIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        return self._stream.getvalue().decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) for line in self.text.splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"] == name]


class CapturedMetrics(Metrics):
    """Metrics for tests to read: pass this to the code under test, or to `open_service`."""

    def value(self, sample: str, **labels: str) -> float:
        """The sum of a sample over all labels that are not given: `value("llm_requests_total")`.

        A metric without samples is 0. Raises `LookupError` for the name of a metric that does not
        exist, and for a label that the metric does not have.
        """
        families = [family for family in self.registry.collect() if _has(family, sample)]
        if not families:
            raise LookupError(f"there is no metric with the sample {sample}")
        samples = [s for family in families for s in family.samples if s.name == sample]
        unknown = [name for name in labels if samples and name not in samples[0].labels]
        if unknown:
            raise LookupError(f"{sample} has no label {unknown[0]}")
        return sum(s.value for s in samples if labels.items() <= s.labels.items())


# The suffixes of sample names by kind of metric: a metric without a sample yet has only a name.
_SUFFIXES = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}


def _has(family: Metric, sample: str) -> bool:
    return sample.removeprefix(family.name) in _SUFFIXES[family.type]


@contextmanager
def captured_logs(level: Level = "DEBUG") -> Iterator[CapturedLogs]:
    """Write the log, after all processing, to memory inside the block."""
    root = logging.getLogger()
    handlers, root_level, config = root.handlers, root.level, structlog.get_config()
    stream = io.BytesIO()
    configure(LogPolicy(level=level, format="json"), stream=stream, cache_loggers=False)
    try:
        yield CapturedLogs(stream)
    finally:
        structlog.configure(**config)
        logging.captureWarnings(capture=False)
        root.handlers = handlers
        if root.level != root_level:
            root.setLevel(root_level)
