"""A debugger at the running service, driven through the Debug Adapter Protocol."""

import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copytree, ignore_patterns

import pytest

from app import debugger
from tests.debug_client import Debugger
from tests.test_main import PATIENCE_S, SOURCE, Process, get, running

ROUTE = "    return Alive()"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Copy:
    """A copy of the code, which a test may edit, and a debugger with a breakpoint in it."""

    root: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        copytree(SOURCE, self.root / "src", ignore=ignore_patterns("__pycache__"))

    @property
    def route(self) -> Path:
        return self.root / "src/app/api/health.py"

    @property
    def line(self) -> int:
        return self.route.read_text().splitlines().index(ROUTE) + 1

    def save(self) -> None:
        self.route.write_text("\n" + self.route.read_text())

    @contextmanager
    def reloading(self) -> Iterator[Process]:
        with running("--reload", source=self.root / "src", DEBUG_PORT=str(self.port)) as process:
            try:
                yield process
            finally:
                process.ended_by(signal.SIGTERM)  # otherwise the reloaded process goes on

    @contextmanager
    def debugged(self) -> Iterator[Debugger]:
        with Debugger.attached(self.port, self.root, self.route, self.line) as session:
            yield session

    def answer_after_a_stop(self, url: object) -> str:
        """Attach, ask, see the request stop in its route, resume it, and return the answer."""
        with ThreadPoolExecutor(1) as pool, self.debugged() as session:
            answer = pool.submit(get, f"{url}/healthz")
            name, line, frame = session.stopped_at()
            assert (name, line) == ("health.py", self.line)
            assert session.value_of("Alive().status", frame) == "'ok'"
            session.resume()
            return answer.result(PATIENCE_S)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(4 * PATIENCE_S)
def test_a_debugger_stops_in_a_route_again_and_again_and_after_a_reload(copy: Copy) -> None:
    with copy.reloading() as process:
        url = process.line("service.ready")["url"]
        for _ in range(2):
            assert copy.answer_after_a_stop(url) == '{"status":"ok"}'
        copy.save()
        process.line("service.ready")
        assert copy.answer_after_a_stop(url) == '{"status":"ok"}'


@pytest.mark.slow
@pytest.mark.timeout(4 * PATIENCE_S)
def test_a_change_ends_a_process_that_a_debugger_has_paused(copy: Copy) -> None:
    with copy.reloading() as process:
        url = process.line("service.ready")["url"]
        with ThreadPoolExecutor(1) as pool, copy.debugged() as session:
            cut_off = pool.submit(get, f"{url}/healthz")
            session.stopped_at()
            copy.save()
            process.line("service.ready")
            with pytest.raises(OSError, match="closed"):
                cut_off.result(PATIENCE_S)
        assert copy.answer_after_a_stop(url) == '{"status":"ok"}'


def test_a_port_in_use_is_refused_with_the_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit):
            debugger.listen("127.0.0.1", port)
    assert f"127.0.0.1:{port}" in (said := capsys.readouterr().err)
    assert "Set DEBUG_PORT" in said
