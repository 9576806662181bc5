import io
import logging
import warnings
from datetime import datetime
from typing import NoReturn

import pytest
import structlog
from pydantic import SecretStr

from app.telemetry.correlation import request_id
from app.telemetry.logging import LogPolicy, configure
from app.testing import CapturedLogs

KEY = "sk-ant-canary-0123456789abcdef"


def test_a_line_says_when_how_bad_what_and_who(logs: CapturedLogs) -> None:
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
def test_a_time_is_in_utc_to_the_millisecond(
    now_s: float, written: str, monkeypatch: pytest.MonkeyPatch, logs: CapturedLogs
) -> None:
    monkeypatch.setattr("time.time", lambda: now_s)
    structlog.get_logger().info("x")
    assert logs.lines[0]["timestamp"] == written


def test_a_level_is_set_only_where_it_differs(
    monkeypatch: pytest.MonkeyPatch, logs: CapturedLogs
) -> None:
    """Each time makes every logger of the process forget what it knows."""
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
def test_no_key_gets_out(leak: dict[str, object], logs: CapturedLogs) -> None:
    structlog.get_logger().info("leak", **leak)
    assert "canary" not in logs.text
    assert logs.lines[0]["event"] == "leak"


def test_no_key_gets_out_by_a_message_or_an_error(logs: CapturedLogs) -> None:
    try:
        _fail(f"the key {KEY} is wrong")
    except ValueError:
        logging.getLogger("x").exception("used %s", KEY)
    assert "canary" not in logs.text
    assert "the key sk-*** is wrong" in logs.text


def test_words_that_only_look_like_keys_stay(logs: CapturedLogs) -> None:
    structlog.get_logger().info("x", text="risk-assessment-of-2026, task-force-one, sk-learn")
    assert logs.lines[0]["text"] == "risk-assessment-of-2026, task-force-one, sk-learn"


def test_the_http_client_keeps_its_addresses_to_itself(logs: CapturedLogs) -> None:
    logging.getLogger("httpx2").info("HTTP Request: POST https://x/?key=1")
    logging.getLogger("uvicorn.error").info("Started server process")
    assert logs.lines == []


@pytest.mark.parametrize("value", ["\ud800", {"a", "b"}, object(), b"\xff", 1 << 70], ids=type)
def test_no_value_is_too_strange_for_a_line(value: object, logs: CapturedLogs) -> None:
    structlog.get_logger().info("strange", value=value)
    assert logs.lines[0]["event"] == "strange"


def test_a_line_that_cannot_be_written_costs_the_line_only() -> None:
    stream = io.BytesIO()
    configure(LogPolicy(format="json"), stream=stream, cache_loggers=False)
    stream.close()
    structlog.get_logger().info("nobody reads this")


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
