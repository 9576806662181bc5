"""The reloader for development: serves a saved change in a quarter of a second.

Other reloaders start a new Python, which imports FastAPI and all other libraries again, for each
change. Here the parent process imports the libraries once and never serves. Each version of the
service is a fork of the parent that imports only `app` again. All versions listen on the same
socket, so no connection is refused between two of them.
"""

import importlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib.util import cache_from_source
from pathlib import Path
from typing import NoReturn

import structlog

_log = structlog.get_logger(__name__)

# Checking a hundred files takes a millisecond. Unlike notifications from the kernel, it also sees
# changes through a container's bind mount.
_LOOK_EVERY_S = 0.1

# A process that a debugger has paused does not react to SIGTERM.
_END_TIMEOUT_S = 2.0

Serve = Callable[[], None]
Seen = dict[Path, tuple[int, int]]


def serve_with_reload(
    serve: Serve, sources: Sequence[Path], *, one_at_a_time: bool = False
) -> None:
    """Serve, and again after each change of the sources, until this process is stopped.

    `one_at_a_time`: a version ends before the next one starts, because they need the same port of
    the debugger. Otherwise the earlier version finishes its requests beside the next one.
    """
    stop = _end if one_at_a_time else _stop
    with suppress(Exception):  # the child reports errors in the service's code
        importlib.import_module("app.main")
    seen = _look(sources)
    child: int | None = _fork(serve)
    try:
        while True:
            time.sleep(_LOOK_EVERY_S)
            if _has_ended(child):
                child = None
            now = _look(sources)
            if now != seen:
                _forget_bytecode(changed := _changed(seen, now))
                _log.info("reload", changed=[str(path) for path in changed])
                stop(child)
                child, seen = _fork(serve), now
    finally:
        stop(child)
        _wait_for_all()


def _look(sources: Sequence[Path]) -> Seen:
    seen = {}
    for path in _files(sources):
        with suppress(OSError):  # an editor replaces a file with a new one
            status = path.stat()
            seen[path] = (status.st_mtime_ns, status.st_size)
    return seen


def _files(sources: Sequence[Path]) -> Iterator[Path]:
    for source in sources:
        if source.is_dir():
            yield from source.rglob("*.py")
            yield from source.rglob("*.toml")  # prompts and prices
        else:
            yield source


def _changed(before: Seen, after: Seen) -> list[Path]:
    return sorted({path for path, _ in before.items() ^ after.items()})


def _forget_bytecode(paths: Sequence[Path]) -> None:
    """Delete bytecode: Python uses it if time (in seconds) and size match, even after two edits."""
    for path in paths:
        with suppress(OSError):
            Path(cache_from_source(str(path))).unlink()


def _fork(serve: Serve) -> int:
    child = os.fork()
    if child == 0:
        _become_the_service(serve)
    return child


def _become_the_service(serve: Serve) -> NoReturn:
    """Import the current code and serve; never return into the parent's stack."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    code = 0
    try:
        serve()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - any error in the saved code
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def _stop(child: int | None) -> None:
    """Stop a child, unless it has ended: another process may have its number by then."""
    if child is not None:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGTERM)


def _end(child: int | None) -> None:
    """Stop a child and wait until it has ended; after two seconds, kill it."""
    _stop(child)
    deadline = time.monotonic() + _END_TIMEOUT_S
    with suppress(ChildProcessError):  # none, or reaped before
        while child is not None and os.waitpid(child, os.WNOHANG)[0] == 0:
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return
            time.sleep(_LOOK_EVERY_S / 10)


def _has_ended(child: int | None) -> bool:
    """Reap children that have ended; return whether `child` is one of them (True only once)."""
    has_ended = False
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                has_ended = True
                _log.error("reload.waiting", exit_code=os.waitstatus_to_exitcode(ended[1]))
    return has_ended


def _wait_for_all() -> None:
    with suppress(ChildProcessError):
        while True:
            os.wait()
