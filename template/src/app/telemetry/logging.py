"""Configures logging: our lines, the standard library's and uvicorn's all use one pipeline.

A line is one JSON object in a container and readable text in a terminal. `redaction` is the last
step and works on the finished line, so that no field, message or traceback can contain a key.

If a line cannot be rendered, it is written with placeholders. Logging therefore never raises an
error in the code, or the library, that logs.
"""

import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from types import TracebackType
from typing import Annotated, Any, BinaryIO, Literal, cast

import orjson
import structlog
from pydantic import BeforeValidator
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from app.telemetry.correlation import client, request_id, trace_id, traceparent
from app.telemetry.redaction import masked

_log = structlog.get_logger(__name__)

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Format = Literal["auto", "json", "console"]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """`previews` adds the beginning of prompts and answers (personal data) to lines of calls."""

    level: Annotated[Level, BeforeValidator(_upper)] = "INFO"
    format: Format = "auto"
    previews: bool = False


def configure(
    policy: LogPolicy, *, stream: BinaryIO | None = None, cache_loggers: bool = True
) -> None:
    """Configure logging, once per process.

    A cached logger keeps the configuration of its first line, which halves the cost of later lines.
    Tests do not cache, so that they can capture another stream.
    """
    output = stream if stream is not None else sys.stdout.buffer
    level = logging.getLevelNamesMapping()[policy.level]
    # structlog's types only allow processors that return a dictionary; the last one returns a line.
    last = cast("list[Processor]", _rendering(policy.format, output))
    structlog.configure(
        processors=[_with_context, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=partial(_Output, output),
        cache_logger_on_first_use=cache_loggers,
    )
    _adopt_standard_library(level)


def _rendering(wanted: Format, stream: BinaryIO) -> list[object]:
    if wanted == "json" or (wanted == "auto" and not stream.isatty()):
        # The local variables of a frame contain prompts and keys, so they must not be logged.
        tracebacks = ExceptionDictTransformer(show_locals=False, max_frames=20)
        return [_Rendering(ExceptionRenderer(tracebacks), _AS_JSON)]
    console = ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=plain_traceback, sort_keys=False
    )
    # The console renderer empties the event, but the error handling still needs it: pass a copy.
    return [_Rendering(lambda logger, method, event: console(logger, method, {**event}), _as_bytes)]


def _with_context(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put the time, level, logger and request id before the fields of the event."""
    # In UTC, with milliseconds. `isoformat` takes 1 µs longer, mostly for the time zone.
    second, millisecond = divmod(int(time.time() * 1000), 1000)
    line: EventDict = {
        "timestamp": f"{_second(second)}.{millisecond:03}Z",
        "level": method,
        "event": event.pop("event"),
        "logger": logger.name,
    }
    if (current := request_id.get()) is not None:
        line["request_id"] = current
    if (parent := traceparent.get()) is not None:
        line["trace_id"] = trace_id(parent)
    if (name := client.get()) is not None:
        line["client"] = name
    line.update(event)
    return line


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


class _Rendering:
    """The last step: renders an event as a line; a value that has no text gets a placeholder."""

    def __init__(self, render: Callable[..., Any], encode: Callable[[Any], bytes]) -> None:
        self._render = render
        self._encode = encode

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> bytes:
        try:
            return self._encode(self._render(logger, method, event))
        except Exception as error:  # noqa: BLE001 - `repr` of a value can raise anything
            texts = {_printable(key): _printable(value) for key, value in event.items()}
            texts.pop("exc_info", None)
            texts["log_error"] = type(error).__name__
            return self._encode(self._render(logger, method, texts))


_AS_JSON = partial(orjson.dumps, default=repr, option=orjson.OPT_NON_STR_KEYS)


def _printable(value: object) -> str:
    """Write half a surrogate pair as an escape; for a value without a text, write its type."""
    try:
        return str(value).encode("utf-8", "backslashreplace").decode()
    except Exception:  # noqa: BLE001 - a `__str__` of a library
        return f"<{type(value).__name__}: has no text>"


def _as_bytes(line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace")


@dataclass(slots=True)
class _Output:
    """Masks and writes lines. A full disk or a closed pipe loses the line, not the request."""

    stream: BinaryIO
    name: str = "app"  # of the logger

    def msg(self, line: bytes) -> None:
        try:
            self.stream.write(masked(line) + b"\n")
            self.stream.flush()
        except (OSError, ValueError):
            pass  # `suppress` would take 0.3 µs of every line

    debug = info = warning = error = critical = msg


# Converting an object to text can log another line. This limit stops an endless recursion.
_MAX_DEPTH = 3


class _StandardLibrary(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self._depth = 0  # `handle` holds a lock around `emit`

    def emit(self, record: logging.LogRecord) -> None:
        if self._depth > _MAX_DEPTH:
            return
        self._depth += 1
        try:
            level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
            fields = {"exc_info": record.exc_info} if record.exc_info else {}
            structlog.get_logger(record.name).log(level, record.getMessage(), **fields)
        except Exception:  # noqa: BLE001 - as the standard handlers do
            self.handleError(record)
        finally:
            self._depth -= 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """Log an invalid logging call. The standard handlers would write it to stderr, unmasked."""
        error = sys.exception()
        _log.error(
            "log.invalid_call",
            library=_printable(record.name),
            message=_printable(record.msg),
            arguments=_printable(record.args),
            place=f"{record.pathname}:{record.lineno}",
            error=f"{type(error).__name__}: {_printable(error)}",
        )


_HTTP_CLIENTS = ("httpx2", "httpcore2", "httpx", "httpcore")


def _adopt_standard_library(level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_StandardLibrary()]
    _set_level(root, level)
    logging.captureWarnings(capture=True)
    # uvicorn logs its start in five lines; our `service.ready` has more information in one line.
    # The HTTP client logs whole URLs and, at debug, headers; the vendors' clients whole prompts.
    for name in (*_HTTP_CLIENTS, "uvicorn", "uvicorn.error", "openai", "anthropic"):
        _set_level(logging.getLogger(name), logging.WARNING)


def _set_level(logger: logging.Logger, level: int) -> None:
    """Skip an unchanged level: setting it clears the level cache of all loggers in the process."""
    if logger.level != level:
        logger.setLevel(level)


def log_crashes() -> None:
    """Log errors that end the process or a thread. Python would write them to stderr, unmasked."""
    sys.excepthook = _on_crash
    threading.excepthook = lambda args: _crashed(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _crashed(args.exc_type, args.exc_value, args.exc_traceback)


def _on_crash(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        _crashed(kind, error, traceback)


def _crashed(
    kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None
) -> None:
    value = kind() if error is None else error
    _log.critical("process.error", exc_info=(kind, value, traceback))


_SAMPLED_S = 10.0


class Sampler:
    """Lets one line in ten seconds pass for each key. Keys must have few values.

    For lines that a hostile client can cause thousands of times a second.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def take(self, key: str) -> int | None:
        """Return how many lines were left out since the last one, or `None` to leave this one out."""
        now = self._clock()
        if now < self._next.get(key, 0.0):
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return None
        self._next[key] = now + _SAMPLED_S
        return self._left_out.pop(key, 0)
