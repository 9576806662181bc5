"""The process from outside: its log, signals and exit codes."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copytree, ignore_patterns

import httpx2
import orjson
import pytest

from mock_api.testing import running_server
from tests.running_service import STREAMED, events_of

SOURCE = Path(__file__).parents[1] / "src"

# A start is a second of work. On a machine with ten such tests at a time it has been fifteen, so
# this says that a process hangs and not that it is slow.
PATIENCE_S = 60
pytestmark = pytest.mark.timeout(4 * PATIENCE_S)


class Process:
    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def line(self, event: str, timeout_s: float = PATIENCE_S) -> dict[str, object]:
        """Read the log up to the line with this event."""
        assert self._popen.stdout is not None
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._popen.stdout], [], [], left)[0]:
                line: dict[str, object] = orjson.loads(self._popen.stdout.readline() or b"{}")
                if line.get("event") == event or not line:
                    return line
        pytest.fail(f"no {event} within {timeout_s} s")

    @property
    def pid(self) -> int:
        return self._popen.pid

    def ask(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def ended_by(self, number: signal.Signals) -> tuple[int, bytes]:
        self.ask(number)
        return self.ended()

    def ended(self) -> tuple[int, bytes]:
        _, errors = self._popen.communicate(timeout=PATIENCE_S)
        return self._popen.returncode, errors

    def kill(self) -> None:
        self._popen.kill()
        self._popen.communicate()


@contextmanager
def running(
    *arguments: str, source: Path = SOURCE, program: str | None = None, **variables: str
) -> Iterator[Process]:
    """`python -m app`, or a `program` of Python in its place."""
    process = Process(_start(*arguments, source=source, program=program, **variables))
    try:
        yield process
    finally:
        process.kill()


def _start(
    *arguments: str, source: Path = SOURCE, program: str | None = None, **variables: str
) -> subprocess.Popen[bytes]:
    run = ["-m", "app"] if program is None else ["-c", program]
    # Only the variables of `make coverage` have to reach the process.
    inherited = {k: v for k, v in os.environ.items() if k == "PATH" or k.startswith("COVERAGE_")}
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, *run, *arguments],
        env={**inherited, "PYTHONPATH": str(source), "PORT": "0", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )


def get(url: object) -> str:
    with urllib.request.urlopen(str(url), timeout=PATIENCE_S) as answer:  # noqa: S310 - our own
        return answer.read().decode()  # type: ignore[no-any-return]


def test_one_line_shows_the_address_and_sigterm_is_a_clean_exit() -> None:
    with running() as process:
        line = process.line("service.ready")
        assert get(f"{line['url']}/healthz") == '{"status":"ok"}'
        headers = httpx2.get(f"{line['url']}/healthz").headers
        assert process.ended_by(signal.SIGTERM) == (0, b"")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "frame-ancestors 'none'"
    assert line["providers"] == "openai,anthropic"
    assert line["cache"] == "memory"
    assert line["env"] == "dev"


@pytest.mark.slow
def test_every_kind_of_answer_has_the_headers_against_attacks() -> None:
    large = {"content": b"x" * 3_000_000}
    with running(OPENAI_BASE_URL="http://127.0.0.1:9/v1", LLM_PROVIDERS="openai") as process:
        url = str(process.line("service.ready")["url"])
        with httpx2.Client(base_url=url, timeout=PATIENCE_S) as client:
            answers = [
                client.get("/healthz"),
                client.get("/docs/assets/swagger-ui.css"),
                client.get("/nothing"),
                client.get("/v1/chat"),
                client.post("/v1/chat", json={}),
                client.post("/v1/chat", json=STREAMED),
                client.post("/openai/v1/embeddings", **large),  # type: ignore[arg-type]
                client.get("/healthz", headers={"x": "x" * 100_000}),
            ]
    assert [answer.status_code for answer in answers] == [200, 200, 404, 405, 422, 502, 413, 431]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.slow
def test_sigint_is_a_clean_exit() -> None:
    with running() as process:
        process.line("service.ready")
        assert process.ended_by(signal.SIGINT) == (0, b"")


def test_a_stream_that_runs_is_finished_before_the_end() -> None:
    with (
        running_server() as mock,
        running(LLM_PROVIDERS="openai", OPENAI_BASE_URL=f"{mock}/v1") as process,
        httpx2.Client(
            base_url=str(process.line("service.ready")["url"]), timeout=PATIENCE_S
        ) as client,
    ):
        httpx2.put(f"{mock}/_mock/faults", json={"tokens_per_second": 40})
        with client.stream("POST", "/v1/chat", json=STREAMED) as answer:
            chunks = answer.iter_text()
            text = next(chunks)
            process.ask(signal.SIGTERM)
            text += "".join(chunks)
        assert [name for name, _ in events_of(text)][-1] == "done"
        assert process.ended() == (0, b"")


@pytest.mark.slow
def test_a_second_signal_ends_a_stop_that_waits_for_a_stream() -> None:
    with (
        running_server() as mock,
        running(
            LLM_PROVIDERS="openai", OPENAI_BASE_URL=f"{mock}/v1", SHUTDOWN_DELAY_S="300"
        ) as process,
        httpx2.Client(
            base_url=str(process.line("service.ready")["url"]), timeout=PATIENCE_S
        ) as client,
    ):
        httpx2.put(f"{mock}/_mock/faults", json={"tokens_per_second": 1})
        with client.stream("POST", "/v1/chat", json=STREAMED) as answer:
            next(answer.iter_text())
            process.ask(signal.SIGTERM)
            assert process.line("service.stopping")["delay_s"] == 300
            assert client.get("/readyz").status_code == 503
            process.ask(signal.SIGTERM)
            assert process.ended()[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [[], pytest.param(["--reload"], marks=pytest.mark.slow)],
    ids=["served", "reloaded"],
)
def test_a_bad_configuration_stops_the_start_with_all_errors(
    arguments: list[str],
) -> None:
    process = _start(*arguments, PORT="http", LLM_PROVIDERS="x", RETRY_MAX_ATTEMPTS="0")
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 78
    for name in ("PORT", "LLM_PROVIDERS", "RETRY_MAX_ATTEMPTS"):
        assert f"  {name}: " in errors.decode()
    assert b"Traceback" not in errors


@pytest.mark.slow
def test_a_mistyped_variable_is_in_the_log_of_a_start_that_goes_on() -> None:
    with running(RETRY_MAX_ATEMPTS="5") as process:
        assert process.line("config.mistyped")["meant"] == "RETRY_MAX_ATTEMPTS"
        process.line("service.ready")


def test_a_port_in_use_is_an_error_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = _start(PORT=port)
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert f"127.0.0.1:{port}" in errors.decode()
    assert b"Traceback" not in errors


@pytest.mark.slow
def test_a_saved_change_is_served_and_a_broken_file_does_not_end_the_reloader(
    tmp_path: Path,
) -> None:
    source = tmp_path / "src"
    copytree(SOURCE, source, ignore=ignore_patterns("__pycache__"))
    health = source / "app" / "api" / "health.py"
    code = health.read_text()
    with running("--reload", source=source) as process:
        url = process.line("service.ready")["url"]
        _save_within_the_second(health, code.replace('"ok"', '"no"'))
        changed = process.line("reload")["changed"]
        process.line("service.ready")
        assert get(f"{url}/healthz") == '{"status":"no"}'
        health.write_text("def (")
        assert process.line("reload.waiting")["exit_code"] == 1
        health.write_text(code)
        process.line("service.ready")
        assert get(f"{url}/healthz") == '{"status":"ok"}'
        code_, errors = process.ended_by(signal.SIGTERM)
    assert changed == [str(health)]
    assert code_ == 0
    assert b"SyntaxError" in errors


@pytest.mark.slow
def test_a_saved_prompt_is_read_again_and_a_wrong_one_is_refused_with_the_name_of_its_file(
    tmp_path: Path,
) -> None:
    source = tmp_path / "src"
    copytree(SOURCE, source, ignore=ignore_patterns("__pycache__"))
    prompt = source / "app" / "rag" / "prompts" / "ask.toml"
    text = prompt.read_text()
    with running("--reload", source=source) as process:
        process.line("service.ready")
        prompt.write_text(text.replace("{question}", "{query}"))
        assert process.line("reload")["changed"] == [str(prompt)]
        assert process.line("reload.waiting")["exit_code"] == 1
        prompt.write_text(text)
        process.line("service.ready")
        _, errors = process.ended_by(signal.SIGTERM)
    assert f"{prompt}: the variable {{query}} in a message is not in" in errors.decode()
    assert b"Traceback" not in errors


def _save_within_the_second(path: Path, text: str) -> None:
    """Save the worst case: same second and same size, and bytecode is checked by these only."""
    saved_ns = path.stat().st_mtime_ns
    second_ns = saved_ns - saved_ns % 10**9
    copy = path.with_suffix(".new")
    copy.write_text(text)
    os.utime(copy, ns=(second_ns, second_ns + (saved_ns + 1) % 10**9))
    copy.replace(path)
