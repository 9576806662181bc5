"""Several processes that serve the same port, and the parent that starts, replaces and stops them.

Each worker is a fork with a listener of its own (`SO_REUSEPORT`), so the kernel spreads the connections over
them, and a worker that stops takes no connection from another one. The parent imports the service
once before it forks, so the workers share that memory, and it never serves. A worker that ends is replaced.
One that fails within its first seconds would fail again: then the service ends, as a single process would.
"""

import gc
import importlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import structlog

_log = structlog.get_logger(__name__)

_STOP = (signal.SIGINT, signal.SIGTERM)
_START_S = 5.0

Listeners = list[socket.socket]
Listen = Callable[[int], Listeners]
Work = Callable[[int, Listeners], None]


class Workers:
    """`listen` runs in the parent before each fork, `work` in the worker. Both get the worker's number."""

    def __init__(self, count: int, listen: Listen, work: Work) -> None:
        self._count = count
        self._listen = listen
        self._work = work
        self._running: dict[int, tuple[int, float]] = {}  # pid: index, time of the start
        self._stopping = False
        self._exit_code = 0
        # A worker that reads its end knows that the parent has gone, even if it was killed.
        self._alive, self._held = os.pipe()

    def run(self) -> int:
        """Serve until a signal stops all workers; return the exit code of the service."""
        for number in _STOP:
            signal.signal(number, self._stop)
        with suppress(Exception):  # the workers report errors in the service's code
            importlib.import_module("app.main")
        gc.freeze()  # a collection would write to the shared pages, and so copy them
        for index in range(self._count):
            self._start(index)
        while self._running:
            self._ended(*os.wait())
        return self._exit_code

    def _start(self, index: int) -> None:
        listeners = self._listen(index)
        # A signal that arrives before the new process is known would not reach it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP)
        pid = os.fork()
        if pid == 0:
            self._run_worker(index, listeners, before)
        for listener in listeners:
            listener.close()  # only the worker holds them: they end with it
        self._running[pid] = (index, time.monotonic())
        _log.info("worker.started", worker=index, process=pid)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _stop(self, *_: object) -> None:
        """Pass a signal on to all workers. The second one ends them at once: see `app.http_server`."""
        self._stopping = True
        for pid in self._running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def _ended(self, pid: int, status: int) -> None:
        index, started = self._running.pop(pid)
        if self._stopping:
            return
        code = os.waitstatus_to_exitcode(status)
        _log.warning("worker.ended", worker=index, process=pid, exit_code=code)
        if code != 0 and time.monotonic() - started < _START_S:
            self._exit_code = code if code > 0 else 1
            self._stop()
        else:
            self._start(index)

    def _run_worker(
        self, index: int, listeners: Listeners, mask: set[int | signal.Signals]
    ) -> NoReturn:
        code = 1
        try:
            os.setpgid(0, 0)  # Ctrl-C reaches the parent only, which passes it on once
            os.close(self._held)
            threading.Thread(target=_stop_without, args=[self._alive], daemon=True).start()
            for number in _STOP:
                signal.signal(number, lambda *_: sys.exit(0))
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._work(index, listeners)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:  # noqa: BLE001 - the fork must not go on as its parent would
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _stop_without(parent: int) -> None:
    """Wait until the parent has ended, then stop as it would have asked for."""
    os.read(parent, 1)
    os.kill(os.getpid(), signal.SIGTERM)
