"""The fakes that the service ships, for tests to use instead of mocks.

A fake keeps the promises of what it stands for, so a test cannot pass against something that does
not exist.
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
    Usage,
)
from app.telemetry.logging import Level, LogPolicy, configure
from app.telemetry.metrics import Metrics

Pause = Callable[[], Awaitable[object]]
Piece = str | Exception | Pause
Turn = str | Exception | Sequence[Piece]


class FakeChatModel:
    """A model that says what it is told to.

    Each call takes the next turn; the last one repeats. A turn is a text, an error, or a sequence
    of texts, pauses (something to call and await) and errors: the chunks of a stream.
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
        texts = [text async for text in self._texts(request)]
        return self.response("".join(texts))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        self.open_streams += 1
        try:
            texts = []
            async for text in self._texts(request):
                texts.append(text)
                yield TextDelta(text)
            yield Done(self.response("".join(texts)))
        finally:
            self.open_streams -= 1

    async def embed(self, request: EmbeddingRequest, /) -> Embeddings:
        """Vectors that depend on the text alone."""
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

    async def _texts(self, request: ChatRequest) -> AsyncGenerator[str, None]:
        self.requests.append(request)
        for piece in self._next_turn():
            if isinstance(piece, str):
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
    """Time that passes only when somebody sleeps."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class CapturedLogs:
    """What was logged, exactly as it would have left the process."""

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
    """Counts for a test to read: give it to what counts, or to `open_service`."""

    def value(self, sample: str, **labels: str) -> float:
        """Add up a sample over all labels that are not given: `value("llm_requests_total")`.

        What was never counted is 0. Raises `LookupError` for a name that nothing is counted as, and
        for a label that what was counted does not have.
        """
        families = [family for family in self.registry.collect() if _has(family, sample)]
        if not families:
            raise LookupError(f"nothing is counted as {sample}")
        samples = [s for family in families for s in family.samples if s.name == sample]
        unknown = [name for name in labels if samples and name not in samples[0].labels]
        if unknown:
            raise LookupError(f"{sample} has no label {unknown[0]}")
        return sum(s.value for s in samples if labels.items() <= s.labels.items())


# What a family's samples are called: one that nobody has counted yet has a name, and no sample.
_SUFFIXES = {"counter": {"_total"}, "gauge": {""}, "histogram": {"_bucket", "_count", "_sum"}}


def _has(family: Metric, sample: str) -> bool:
    return sample.removeprefix(family.name) in _SUFFIXES[family.type]


@contextmanager
def captured_logs(level: Level = "DEBUG") -> Iterator[CapturedLogs]:
    """Send the log, all of the service's processing included, to memory for a while."""
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
