"""The processes that the reloader signals. `test_main.py` tests that it reloads."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from app import reload
from app.testing import CapturedLogs

NOTHING_TO_REPORT = (0, 0)
OTHER = 4710
CHILD, NEXT = 4711, 4712


class StoppedError(Exception):
    pass


class System:
    """The processes of a machine: children that are forked, reaped and signalled."""

    def __init__(self, reaped: list[tuple[int, int]], patch: pytest.MonkeyPatch) -> None:
        self.reaped = reaped
        self.signalled: list[int] = []
        self.pids = iter([CHILD, NEXT])
        self.looks = 0
        patch.setattr(os, "waitpid", self._waitpid)
        patch.setattr(os, "kill", self._kill)
        patch.setattr(os, "wait", self._wait)
        patch.setattr(reload, "_fork", lambda _serve: next(self.pids))
        patch.setattr(time, "sleep", self._sleep)

    def _waitpid(self, _pid: int, _options: int) -> tuple[int, int]:
        return self.reaped.pop(0) if self.reaped else NOTHING_TO_REPORT

    def _kill(self, pid: int, number: int) -> None:
        assert number == signal.SIGTERM
        self.signalled.append(pid)

    def _wait(self) -> None:
        raise ChildProcessError

    def _sleep(self, _seconds: float) -> None:
        self.looks += 1
        if self.looks == 3:
            raise StoppedError
        if self.looks == 2:
            self.source.write_text("changed = True\n")

    def runs(self, source: Path) -> None:
        self.source = source
        source.write_text("")
        with pytest.raises(StoppedError):
            reload.serve_with_reload(lambda: None, [source])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "code.py"


def test_a_child_that_has_ended_is_not_signalled_again(
    source: Path, monkeypatch: pytest.MonkeyPatch, logs: CapturedLogs
) -> None:
    system = System([(OTHER, 0), (CHILD, os.EX_USAGE << 8)], monkeypatch)
    system.runs(source)
    assert system.signalled == [NEXT]
    (line,) = logs.events("reload.waiting")
    assert line["exit_code"] == os.EX_USAGE


def test_a_child_that_runs_is_stopped_before_the_next_one(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System([(OTHER, 0)], monkeypatch)
    system.runs(source)
    assert system.signalled == [CHILD, NEXT]


@pytest.mark.parametrize(
    ("reaction", "ended_by"),
    [("", signal.SIGTERM), ("trap '' TERM;", signal.SIGKILL)],
    ids=["stops", "paused by a debugger"],
)
def test_a_child_that_holds_a_port_has_ended_before_the_next_one(
    reaction: str, ended_by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reload, "_END_TIMEOUT_S", 0.1)
    command = ["sh", "-c", f"{reaction} echo; exec sleep 60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:  # noqa: S603 - our own
        assert child.stdout is not None
        child.stdout.readline()
        statuses: list[int] = []
        waitpid = os.waitpid
        monkeypatch.setattr(os, "waitpid", lambda *given: seen(waitpid(*given), statuses))
        reload._end(child.pid)
        monkeypatch.undo()
    assert os.waitstatus_to_exitcode(statuses[-1]) == -ended_by


def seen(found: tuple[int, int], statuses: list[int]) -> tuple[int, int]:
    """Note the status of a process that was reaped."""
    statuses.append(found[1])
    return found


def test_a_child_that_ended_before_the_reloader_is_not_signalled(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System([NOTHING_TO_REPORT, (CHILD, 0)], monkeypatch)
    system.runs(source)
    assert system.signalled == [NEXT]
