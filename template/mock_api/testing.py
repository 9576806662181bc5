"""Runs the mock API on its own port, for tests: `with running_server() as url: …`."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from mock_api.application import create_app

_START_S = 10


@contextmanager
def running_server() -> Iterator[str]:
    """The base URL, without `/v1`. The server has its own faults and records."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(_config())
        thread = threading.Thread(target=server.run, args=([listener],), name="mock-api")
        thread.start()
        try:
            _wait_until_started(server, thread)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _config() -> uvicorn.Config:
    return uvicorn.Config(
        create_app(),
        log_config=None,  # does not change the logging of the test
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
    )


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the mock API did not start")
        time.sleep(0.005)
