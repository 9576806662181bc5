"""Measures how soon `python -m app` answers `/healthz`, and the memory that it takes before the first request.

Each round also starts Python with FastAPI alone, which is the least that such a service needs; and the memory
is that of the libraries of this service without a line of its own, for comparison. The environment of
`make install` has packages that the image has not. structlog and tenacity would import two of them, so these
are hidden here.
"""

import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

from scripts.bench.figure import Figure, ratio

ROUNDS = 7
_GIVE_UP_S = 30.0
_FASTAPI = "import fastapi; fastapi.FastAPI()"
_AS_IN_THE_IMAGE = "import sys; sys.modules.update(rich=None, tornado=None)"
_SERVICE = f"{_AS_IN_THE_IMAGE}; import runpy; runpy.run_module('app', run_name='__main__')"
_LIBRARIES = f"""
{_AS_IN_THE_IMAGE}
import aiohttp, fastapi, httptools, httpx2, orjson, prometheus_client, pydantic_settings
import structlog, tenacity, uvicorn, uvloop
import os, subprocess
fastapi.FastAPI()
subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())])
"""


def what_a_start_takes() -> Iterator[Figure]:
    _seconds_of_fastapi()  # the first start reads the files from the disk
    ready, memory = zip(*(_started() for _ in range(ROUNDS)), strict=True)
    bare = [_seconds_of_fastapi() for _ in range(ROUNDS)]
    yield Figure("ready", statistics.median(ready), "s")
    yield ratio("ready : Python with FastAPI alone", ready, bare)
    yield Figure("resident memory", statistics.median(memory), "MB")
    _, other = zip(*(_started(HTTP_TRANSPORT="httpx2") for _ in range(ROUNDS)), strict=True)
    yield Figure("resident memory, HTTP_TRANSPORT=httpx2", statistics.median(other), "MB")
    yield Figure("resident memory, only imported libraries", _mb_of_libraries(), "MB")


def _started(**variables: str) -> tuple[float, float]:
    """The seconds until the first answer, and the resident megabytes after it."""
    start = time.perf_counter()
    with _service(variables) as (process, address):
        _wait_for(f"{address}/healthz")
        return time.perf_counter() - start, _resident_mb(process.pid)


@contextmanager
def _service(variables: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "src", "PORT": str(port)}
    environment |= variables
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVICE], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _GIVE_UP_S
    while not _answers(url):
        if time.monotonic() > deadline:
            sys.exit(f"make bench: no answer from {url} within {_GIVE_UP_S:.0f} s")
        time.sleep(0.01)


def _answers(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        direct.open(url, timeout=1).close()
    except (OSError, HTTPException):
        return False
    return True


def _resident_mb(pid: int) -> float:
    size = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    return int(size.stdout) / 1024


def _seconds_of_fastapi() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", _FASTAPI], check=True)
    return time.perf_counter() - start


def _mb_of_libraries() -> float:
    size = subprocess.run(
        [sys.executable, "-c", _LIBRARIES], capture_output=True, text=True, check=True
    )
    return int(size.stdout) / 1024
