import io
import logging
import sys
import threading
import warnings
from datetime import datetime
from typing import Any, Literal, NoReturn

import pytest
import structlog
from pydantic import SecretStr

from app.telemetry.correlation import request_id
from app.telemetry.logging import LogPolicy, configure, log_crashes
from app.testing import CapturedLogs

KEY = "sk-ant-canary-0123456789abcdef"


def test_a_line_has_time_level_event_and_logger(logs: CapturedLogs) -> None:
    structlog.get_logger("app.somewhere").warning("cache.lost", host="redis")
    (line,) = logs.lines
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() is not None
    assert line == {
        "level": "warning",
        "event": "cache.lost",
        "logger": "app.somewhere",
        "host": "redis",
    }


@pytest.mark.parametrize(
    ("now_s", "written"),
    [
        (1_764_094_145.857_9, "2025-11-25T18:09:05.857Z"),
        (1_764_094_145.0, "2025-11-25T18:09:05.000Z"),
        (1_764_115_199.999_9, "2025-11-25T23:59:59.999Z"),
        (1_764_115_200.004, "2025-11-26T00:00:00.004Z"),
    ],
    ids=["milliseconds", "a whole second", "the end of a day", "the next day"],
)
def test_a_timestamp_is_in_utc_to_the_millisecond(
    now_s: float, written: str, monkeypatch: pytest.MonkeyPatch, logs: CapturedLogs
) -> None:
    monkeypatch.setattr("time.time", lambda: now_s)
    structlog.get_logger().info("x")
    assert logs.lines[0]["timestamp"] == written


def test_a_level_is_set_only_where_it_differs(
    monkeypatch: pytest.MonkeyPatch, logs: CapturedLogs
) -> None:
    """Each call clears the cache of every logger of the process."""
    levels: list[int] = []
    monkeypatch.setattr(logging.Logger, "setLevel", lambda _logger, level: levels.append(level))
    for policy in (LogPolicy("DEBUG"), LogPolicy("ERROR")):
        configure(policy, stream=io.BytesIO(), cache_loggers=False)
    assert levels == [logging.ERROR]
    assert logs.lines == []


def test_the_standard_librarys_lines_look_the_same(logs: CapturedLogs) -> None:
    token = request_id.set("request-1")
    logging.getLogger("uvicorn.error").error("bad %s: %d%%", "thing", 7)
    request_id.reset(token)
    (line,) = logs.lines
    assert line["event"] == "bad thing: 7%"
    assert line["logger"] == "uvicorn.error"
    assert line["level"] == "error"
    assert line["request_id"] == "request-1"


def test_a_warning_of_python_is_a_line(logs: CapturedLogs) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", UserWarning, stacklevel=1)
    assert "old" in logs.lines[0]["event"]


@pytest.mark.parametrize(
    "log", [structlog.get_logger("x"), logging.getLogger("x")], ids=["ours", "stdlib"]
)
def test_a_traceback_is_data_without_variables(log: logging.Logger, logs: CapturedLogs) -> None:
    confidential = "the prompt"
    try:
        _fail(len(confidential))
    except ValueError:
        log.exception("failed")
    (error,) = logs.lines[0]["exception"]
    assert (error["exc_type"], error["exc_value"]) == ("ValueError", "10")
    assert set(error["frames"][-1]) == {"filename", "lineno", "name"}
    assert confidential not in logs.text


@pytest.mark.parametrize(
    "leak",
    [
        pytest.param({"field": KEY}, id="in a field"),
        pytest.param({"field": {"deep": [KEY]}}, id="deep in a field"),
        pytest.param({"field": ValueError(KEY)}, id="in an object"),
        pytest.param({"field": f"Authorization: Bearer {KEY[7:]}"}, id="as a bearer token"),
        pytest.param({"field": SecretStr(KEY)}, id="as a secret"),
        pytest.param({"field": f"key:\n{KEY}"}, id="after a line end"),
        pytest.param({"field": f"key:\x1b{KEY}"}, id="after a control character"),
    ],
)
def test_keys_are_masked_in_every_field(leak: dict[str, object], logs: CapturedLogs) -> None:
    structlog.get_logger().info("leak", **leak)
    assert "canary" not in logs.text
    assert logs.lines[0]["event"] == "leak"


def test_keys_are_masked_in_messages_and_errors(logs: CapturedLogs) -> None:
    try:
        _fail(f"the key {KEY} is wrong")
    except ValueError:
        logging.getLogger("x").exception("used %s", KEY)
    assert "canary" not in logs.text
    assert "the key sk-*** is wrong" in logs.text


def test_words_that_only_look_like_keys_stay(logs: CapturedLogs) -> None:
    structlog.get_logger().info("x", text="risk-assessment-of-2026, task-force-one, sk-learn")
    assert logs.lines[0]["text"] == "risk-assessment-of-2026, task-force-one, sk-learn"


def test_the_http_client_does_not_log_addresses(logs: CapturedLogs) -> None:
    logging.getLogger("httpx2").info("HTTP Request: POST https://x/?key=1")
    logging.getLogger("uvicorn.error").info("Started server process")
    assert logs.lines == []


@pytest.mark.parametrize("value", ["\ud800", {"a", "b"}, object(), b"\xff", 1 << 70], ids=type)
def test_a_value_of_any_type_can_be_logged(value: object, logs: CapturedLogs) -> None:
    structlog.get_logger().info("strange", value=value)
    assert logs.lines[0]["event"] == "strange"


def test_a_line_that_cannot_be_written_costs_the_line_only() -> None:
    stream = io.BytesIO()
    configure(LogPolicy(format="json"), stream=stream, cache_loggers=False)
    stream.close()
    structlog.get_logger().info("no reader")


def test_the_level_is_a_bound(logs: CapturedLogs) -> None:
    stream = io.BytesIO()
    configure(LogPolicy(level="WARNING", format="json"), stream=stream, cache_loggers=False)
    structlog.get_logger().info("too quiet")
    logging.getLogger("x").info("too quiet")
    structlog.get_logger().warning("heard")
    assert stream.getvalue().count(b"\n") == 1
    assert logs.lines == []


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "is_json"), [(Terminal(), False), (io.BytesIO(), True)], ids=["terminal", "pipe"]
)
def test_auto_is_readable_in_a_terminal_and_json_elsewhere(
    stream: io.BytesIO, *, is_json: bool
) -> None:
    configure(LogPolicy(), stream=stream, cache_loggers=False)
    structlog.get_logger().info("hello", key=KEY)
    assert stream.getvalue().startswith(b"{") is is_json
    assert b"hello" in stream.getvalue()
    assert b"canary" not in stream.getvalue()


def _fail(reason: object) -> NoReturn:
    raise ValueError(reason)


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Talkative:
    """An object that logs while it is being logged."""

    def __str__(self) -> str:
        logging.getLogger("lib").warning("again %s", self)
        return "said"


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        pytest.param("%d", ("three",), id="another type"),
        pytest.param("%s %s", ("one",), id="too few"),
        pytest.param("%s", ("one", "two"), id="too many"),
        pytest.param("%(name)s", ({"other": 1},), id="another name"),
        pytest.param("%s", (Unprintable(),), id="an argument without text"),
        pytest.param(Unprintable(), (), id="a message without text"),
        pytest.param("%y", (1,), id="an unknown format"),
        pytest.param("%s %", (1,), id="an unfinished format"),
    ],
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_librarys_invalid_call_is_a_line_and_no_error(
    message: object, arguments: tuple[object, ...], form: Literal["json", "console"]
) -> None:
    stream = io.BytesIO()
    configure(LogPolicy(format=form), stream=stream, cache_loggers=False)
    logging.getLogger("lib").warning(message, *arguments)
    assert b"log.invalid_call" in stream.getvalue()
    assert b"test_logging.py:" in stream.getvalue()


def test_an_invalid_call_is_masked(capfd: pytest.CaptureFixture[str]) -> None:
    stream = io.BytesIO()
    configure(LogPolicy(format="json"), stream=stream, cache_loggers=False)
    logging.getLogger("lib").warning("%d", KEY)
    assert b"sk-***" in stream.getvalue()
    assert b"canary" not in stream.getvalue()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "info", [(None, None, None), True, "yes", 1, (1, 2, 3), (ValueError, None, None)], ids=repr
)
@pytest.mark.parametrize(
    "log", [structlog.get_logger("x"), logging.getLogger("x")], ids=["ours", "stdlib"]
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_any_exc_info_is_a_line(
    log: logging.Logger, info: Any, form: Literal["json", "console"]
) -> None:
    stream = io.BytesIO()
    configure(LogPolicy(format=form), stream=stream, cache_loggers=False)
    log.error("failed", exc_info=info)
    assert b"failed" in stream.getvalue()


def test_an_object_that_logs_itself_is_a_few_lines() -> None:
    stream = io.BytesIO()
    configure(LogPolicy(format="json"), stream=stream, cache_loggers=False)
    logging.getLogger("lib").warning("%s", Talkative())
    assert 1 < stream.getvalue().count(b"again said") < 10


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_value_without_text_is_a_placeholder(form: Literal["json", "console"]) -> None:
    stream = io.BytesIO()
    configure(LogPolicy(format=form), stream=stream, cache_loggers=False)
    circle: list[object] = []
    circle.append(circle)
    structlog.get_logger().info("strange", value=Unprintable(), circle=circle, other=1)
    assert b"<Unprintable: has no text>" in stream.getvalue()
    assert b"strange" in stream.getvalue()


def test_odd_levels_and_names_are_a_line() -> None:
    stream = io.BytesIO()
    configure(LogPolicy(level="DEBUG", format="json"), stream=stream, cache_loggers=False)
    for level in (5, 35, 99):
        logging.getLogger("x").handle(logging.makeLogRecord({"levelno": level, "msg": "odd"}))
    logging.getLogger("\ud800").warning("%s", "\ud800", extra={"": 1, "a b": Unprintable()})
    assert stream.getvalue().count(b"\n") == 4


def test_an_error_that_ends_the_process_is_a_masked_line(
    logs: CapturedLogs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for module, hook in ((sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook")):
        monkeypatch.setattr(module, hook, getattr(module, hook))
    log_crashes()
    error = ValueError(f"used {KEY}")
    sys.excepthook(ValueError, error, None)
    thread = threading.Thread(target=_fail, args=(f"used {KEY}",))
    thread.start()
    thread.join()
    assert [line["event"] for line in logs.lines] == ["process.error"] * 2
    assert "canary" not in logs.text
    assert capfd.readouterr().err == ""
