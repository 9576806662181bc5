"""A tool call in logs, metrics and traces; a loop in logs and metrics."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog
from opentelemetry.trace import Tracer

from app.errors import LLMError
from app.llm.call_record import PREVIEW_CHARS
from app.llm.tools.failures import Outcome, ToolCallError, ToolFailedError
from app.llm.types import ToolCall
from app.telemetry import conventions as semconv
from app.telemetry.redaction import preview
from app.telemetry.tracing import OFF, Attributes, current, set_attributes, span_of

_log = structlog.get_logger(__name__)

# `answered`: without a bound. The others are the bound that ended the rounds, or the failure.
End = Literal["answered", "rounds", "time", "cost", "failed", "cancelled"]

# In logs, labels and spans. The name that the model invented is its text, so only previews show it.
UNKNOWN = "unknown"


class ToolMetrics(Protocol):
    """What a loop counts. `app.telemetry.metrics.Metrics` is one."""

    def tool_call(self, tool: str, outcome: str, duration_s: float) -> None:
        """A tool call has ended. `tool` is the name of an existing tool, or `unknown`."""

    def tool_loop(self, end: str, rounds: int) -> None:
        """A loop has ended after so many rounds of tool calls."""


class NullToolMetrics:
    """Counts nothing."""

    def tool_call(self, tool: str, outcome: str, duration_s: float) -> None:
        pass

    def tool_loop(self, end: str, rounds: int) -> None:
        pass


NO_METRICS = NullToolMetrics()


@dataclass(frozen=True, slots=True)
class ToolTelemetry:
    """`previews` shows the beginning of arguments and results, which are personal data."""

    metrics: ToolMetrics = NO_METRICS
    tracer: Tracer = OFF
    previews: bool = False


NO_TELEMETRY = ToolTelemetry()


class ToolRecord:
    """The facts of one tool call, reported once, when the call has ended."""

    def __init__(self, telemetry: ToolTelemetry, call: ToolCall, tool: str, number: int) -> None:
        self._telemetry = telemetry
        self._call = call
        self._tool = tool
        self._round = number
        self._outcome: Outcome = "cancelled"
        self._cause: BaseException | None = None
        self._result = ""
        self._started = time.perf_counter()

    @contextmanager
    def span(self) -> Iterator[None]:
        """The span of the call, with the exception of the tool as its `error.type`."""
        name = f"execute_tool {self._tool}"
        with span_of(self._telemetry.tracer, name, self._attributes()) as span, current(span):
            yield
            if self._telemetry.previews:
                shown = preview(self._result, PREVIEW_CHARS)
                set_attributes(span, {semconv.TOOL_RESULT: shown})

    def succeeded(self, result: str) -> str:
        self._outcome, self._result = "ok", result
        return result

    def failed(self, error: ToolCallError) -> ToolCallError:
        self._outcome, self._result = error.outcome, error.text
        if isinstance(error, ToolFailedError):
            self._cause = error.error
        return error

    def report(self) -> None:
        duration_s = time.perf_counter() - self._started
        self._telemetry.metrics.tool_call(self._tool, self._outcome, duration_s)
        _log.log(
            logging.INFO if self._outcome in {"ok", "cancelled"} else logging.WARNING,
            "tool.call",
            tool=self._tool,
            call_id=self._call.id,
            round=self._round,
            outcome=self._outcome,
            latency_ms=round(duration_s * 1000, 3),
            **self._error(),
            **self._previews(),
        )

    def _error(self) -> dict[str, object]:
        """The class of the tool's exception, and its traceback if it is none of our errors."""
        if self._cause is None:
            return {}
        error: dict[str, object] = {"error": type(self._cause).__name__}
        return error if isinstance(self._cause, LLMError) else {**error, "exc_info": self._cause}

    def _previews(self) -> dict[str, str]:
        if not self._telemetry.previews:
            return {}
        texts = {"arguments": self._call.arguments, "result": self._result}
        if self._tool == UNKNOWN:
            texts["named"] = self._call.name
        return {name: preview(text, PREVIEW_CHARS) for name, text in texts.items()}

    def _attributes(self) -> Attributes:
        arguments = preview(self._call.arguments, PREVIEW_CHARS)
        return {
            semconv.OPERATION: "execute_tool",
            semconv.TOOL_NAME: self._tool,
            semconv.TOOL_CALL_ID: self._call.id,
            semconv.TOOL_TYPE: "function",
            semconv.TOOL_ARGUMENTS: arguments if self._telemetry.previews else None,
        }
