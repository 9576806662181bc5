"""One log for the service: ours, the standard library's and uvicorn's lines take the same way out.

A line is one JSON object in a container and readable text in a terminal. Whatever goes out passes
`redaction` last, in its final form, so that no field, message or traceback can carry a key past it.
"""

import logging
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, BinaryIO, Literal, cast

import orjson
import structlog
from pydantic import BeforeValidator
from structlog.dev import ConsoleRenderer, plain_traceback
from structlog.processors import ExceptionRenderer
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

from app.telemetry.correlation import request_id, trace_id, traceparent
from app.telemetry.redaction import masked

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR"]
Format = Literal["auto", "json", "console"]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


@dataclass(frozen=True, slots=True)
class LogPolicy:
    """`previews` adds the beginning of prompts and answers, personal data, to the calls' lines."""

    level: Annotated[Level, BeforeValidator(_upper)] = "INFO"
    format: Format = "auto"
    previews: bool = False


def configure(
    policy: LogPolicy, *, stream: BinaryIO | None = None, cache_loggers: bool = True
) -> None:
    """Set the log up, once per process.

    A cached logger keeps what it finds at its first line, which halves the cost of the others.
    Tests do not cache, so that they can look at another stream.
    """
    output = stream if stream is not None else sys.stdout.buffer
    level = logging.getLevelNamesMapping()[policy.level]
    # structlog's types know dictionaries in and out; the last of these returns the line.
    last = cast("list[Processor]", _rendering(policy.format, output))
    structlog.configure(
        processors=[_with_context, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda name="app": _Output(output, name),
        cache_logger_on_first_use=cache_loggers,
    )
    _adopt_standard_library(level)


def _rendering(wanted: Format, stream: BinaryIO) -> list[object]:
    if wanted == "json" or (wanted == "auto" and not stream.isatty()):
        # Local variables of a frame are prompts and keys: never in a log.
        tracebacks = ExceptionDictTransformer(show_locals=False, max_frames=20)
        return [ExceptionRenderer(tracebacks), _as_json]
    console = ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=plain_traceback, sort_keys=False
    )
    return [console, _as_bytes]


def _with_context(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put who says it, when and for which request in front of what is said."""
    line: EventDict = {
        "timestamp": _timestamp(time.time()),
        "level": method,
        "event": event.pop("event"),
        "logger": logger.name,
    }
    if (current := request_id.get()) is not None:
        line["request_id"] = current
    if (parent := traceparent.get()) is not None:
        line["trace_id"] = trace_id(parent)
    line.update(event)
    return line


def _timestamp(now_s: float) -> str:
    """In UTC, to the millisecond. `isoformat` takes 1 µs longer, mostly for the time zone."""
    second, millisecond = divmod(int(now_s * 1000), 1000)
    return f"{_second(second)}.{millisecond:03}Z"


@lru_cache(maxsize=1)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    try:
        return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # half a surrogate pair: a line with an escape in it beats no line
        return orjson.dumps({key: _printable(value) for key, value in event.items()})


def _printable(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


def _as_bytes(_logger: WrappedLogger, _method: str, line: str) -> bytes:
    return line.encode("utf-8", "backslashreplace")


class _Output:
    """Where finished lines go, masked. A full disk or a closed pipe costs the line, not the request."""

    __slots__ = ("_stream", "name")

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self.name = name

    def msg(self, line: bytes) -> None:
        try:
            self._stream.write(masked(line) + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # `suppress` would take 0.3 µs of every line

    debug = info = warning = error = critical = msg


class _StandardLibrary(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        level = min(max(record.levelno // 10 * 10, logging.DEBUG), logging.CRITICAL)
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        log.log(level, record.getMessage(), **fields)


_HTTP_CLIENTS = ("httpx2", "httpcore2", "httpx", "httpcore")


def _adopt_standard_library(level: int) -> None:
    root = logging.getLogger()
    root.handlers = [_StandardLibrary()]
    _set_level(root, level)
    logging.captureWarnings(capture=True)
    # uvicorn tells its start in five lines where `service.ready` says more in one; the HTTP client
    # writes whole URLs and, at debug, headers; the vendors' clients write whole prompts.
    for name in (*_HTTP_CLIENTS, "uvicorn", "uvicorn.error", "openai", "anthropic"):
        _set_level(logging.getLogger(name), logging.WARNING)


def _set_level(logger: logging.Logger, level: int) -> None:
    """Setting a level, even the one it has, makes every logger of the process forget what it knows."""
    if logger.level != level:
        logger.setLevel(level)
