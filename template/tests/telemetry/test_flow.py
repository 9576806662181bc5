"""`make logs ID=…`: the events of one request, from the log of many."""

import asyncio
import io
import subprocess
import sys
from collections import Counter
from contextvars import copy_context
from pathlib import Path

import httpx2
import pytest
import structlog

from app.main import create_app
from app.resilience.retry import RetryPolicy
from app.settings import Settings
from app.telemetry.correlation import request_id, traceparent
from app.telemetry.logging import Format, LogPolicy, configure
from app.testing import CapturedLogs
from mock_api.application import create_app as create_mock
from scripts.flow import flow, told

SCRIPT = Path(__file__).parents[2] / "scripts/flow.py"
WANTED = "request-of-interest"  # no part of a path, which a traceback shows
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FAST = RetryPolicy(base_delay_s=0.001, max_delay_s=0.001)


async def test_of_fifty_requests_at_once_each_flow_is_rebuilt_by_its_id(
    logs: CapturedLogs,
) -> None:
    mock = httpx2.ASGITransport(create_mock())
    app = create_app(Settings(retry=FAST), transport=mock)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=mock, base_url="http://mock") as provider,
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        fault = {"status": 503, "rate": 0.5, "path": "/v1/chat/completions"}
        await provider.put("/_mock/faults", json=fault)
        before = len(logs.lines)
        await asyncio.gather(*(_ask(client, number) for number in range(50)))
        during = logs.lines[before:]
    assert [line for line in during if "request_id" not in line] == []
    shapes: Counter[bool] = Counter()
    for number in range(50):
        entries = flow(f"request-{number}", logs.text.splitlines())
        written = [line for line in during if line["request_id"] == f"request-{number}"]
        assert [entry.event for entry in entries] == [line["event"] for line in written]
        assert entries[-1].event == "http.request"
        assert [entry.event for entry in entries].count("llm.call") >= 1
        shapes["llm.retry" in {entry.event for entry in entries}] += 1
    assert shapes[True] >= 10
    assert shapes[False] >= 10


async def _ask(client: httpx2.AsyncClient, number: int) -> None:
    question = {"messages": [{"role": "user", "content": f"Question {number}"}]}
    await client.post("/v1/chat", json=question, headers={"X-Request-ID": f"request-{number}"})


def log_of(wanted: Format) -> list[str]:
    stream = io.BytesIO()
    configure(LogPolicy(format=wanted), stream=stream, cache_loggers=False)
    copy_context().run(_two_requests)
    return stream.getvalue().decode().splitlines()


def _two_requests() -> None:
    log = structlog.get_logger("app.somewhere")
    for name in (WANTED, "other", WANTED):
        request_id.set(name)
        log.info("llm.call", model="gpt-5-mini", said="two words")
    try:
        int("boom")
    except ValueError:
        log.exception("http.failed")


@pytest.mark.parametrize("wanted", ["json", "console"])
@pytest.mark.parametrize("prefix", ["", "app-1  | "], ids=["plain", "by compose"])
def test_both_formats_are_understood(wanted: Format, prefix: str) -> None:
    lines = [f"{prefix}{line}\n" for line in log_of(wanted)]
    text = "\n".join(told(flow(WANTED, lines)))
    assert [line.split()[3] for line in text.splitlines() if " ms " in line] == [
        "llm.call",
        "llm.call",
        "http.failed",
    ]
    assert "model=gpt-5-mini said=" in text
    assert "ValueError: invalid literal" in text.splitlines()[-1]
    assert WANTED not in text


def test_lines_of_several_processes_come_together_by_time() -> None:
    seconds = (3, 1, 2)
    lines = [
        f'{{"timestamp":"2026-11-25T12:00:0{second}.000Z","level":"info","event":"{second}",'
        '"logger":"app","request_id":"one"}'
        for second in seconds
    ]
    assert [entry.event for entry in flow("one", lines)] == ["1", "2", "3"]


def test_a_trace_is_found_by_its_id_too() -> None:
    stream = io.BytesIO()
    configure(LogPolicy(format="json"), stream=stream, cache_loggers=False)
    token = traceparent.set(f"00-{TRACE}-00f067aa0ba902b7-01")
    structlog.get_logger().info("llm.call")
    traceparent.reset(token)
    assert len(flow(TRACE, stream.getvalue().decode().splitlines())) == 1


def test_a_line_that_is_no_log_line_belongs_to_no_request() -> None:
    assert flow("one", ["", "{", '{"a": 1}', "one", "request_id=one"]) == []


def test_the_program_reads_a_file_and_says_when_there_is_nothing(tmp_path: Path) -> None:
    log = tmp_path / "service.log"
    log.write_text("\n".join(log_of("json")))
    assert "llm.call" in _run("other", str(log)).stdout
    missing = _run("unknown", stdin=log.read_text())
    assert missing.returncode == 1
    assert missing.stderr == "make logs: none of 4 lines has the id unknown\n"
    assert "usage: make logs ID=" in _run("").stderr


def test_a_file_that_is_not_there_is_named() -> None:
    ended = _run("one", "nowhere.log")
    assert (ended.returncode, ended.stderr) == (
        1,
        "make logs: nowhere.log: No such file or directory\n",
    )


def _run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(  # noqa: S603 - our own program
        command, input=stdin, capture_output=True, text=True, check=False
    )
