"""Development only: a saved change is served in a quarter of a second.

A reloader that starts a new Python imports FastAPI and the rest again for each saved line. Here
the parent imports everything once and never serves; each version of the service is a fork of it
that imports `app`, and nothing else, anew. All of them listen at the same socket, so that nobody is
refused between two versions.
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

# Looking at a hundred files takes a millisecond and, unlike notifications from the kernel, also
# sees changes that come through a container's bind mount.
_LOOK_EVERY_S = 0.1

Serve = Callable[[], None]
Seen = dict[Path, tuple[int, int]]


def serve_what_is_saved(serve: Serve, sources: Sequence[Path]) -> None:
    with suppress(Exception):  # a mistake in it is for the child to report
        importlib.import_module("app.main")
    seen = _look(sources)
    child = _fork(serve)
    try:
        while True:
            time.sleep(_LOOK_EVERY_S)
            _report_end_of(child)
            now = _look(sources)
            if now != seen:
                _forget_bytecode(changed := _changed(seen, now))
                _log.info("reload", changed=[str(path) for path in changed])
                _stop(child)
                child, seen = _fork(serve), now
    finally:
        _stop(child)
        _wait_for_all()


def _look(sources: Sequence[Path]) -> Seen:
    seen = {}
    for path in _files(sources):
        with suppress(OSError):  # an editor replaces a file by another
            status = path.stat()
            seen[path] = (status.st_mtime_ns, status.st_size)
    return seen


def _files(sources: Sequence[Path]) -> Iterator[Path]:
    for source in sources:
        yield from source.rglob("*.py") if source.is_dir() else (source,)


def _changed(before: Seen, after: Seen) -> list[Path]:
    return sorted({path for path, _ in before.items() ^ after.items()})


def _forget_bytecode(paths: Sequence[Path]) -> None:
    """Python takes bytecode for current when second and size agree; two edits can do that."""
    for path in paths:
        with suppress(OSError):
            Path(cache_from_source(str(path))).unlink()


def _fork(serve: Serve) -> int:
    child = os.fork()
    if child == 0:
        _become_the_service(serve)
    return child


def _become_the_service(serve: Serve) -> NoReturn:
    """Import the code as it is now, and never return into the parent's stack."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "app"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    code = 0
    try:
        serve()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - a mistake in the code that was saved, whatever it is
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


def _stop(child: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)


def _report_end_of(child: int) -> None:
    with suppress(ChildProcessError):
        while True:
            ended, status = os.waitpid(-1, os.WNOHANG)
            if ended == 0:
                return
            if ended == child:
                _log.error("reload.waiting", exit_code=os.waitstatus_to_exitcode(status))


def _wait_for_all() -> None:
    with suppress(ChildProcessError):
        while True:
            os.wait()
