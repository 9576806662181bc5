"""Asks `/healthz` every 10 ms, as an impatient orchestrator, and keeps the longest wait.

It runs in a thread of its own, so that the loop with the attacks does not delay it.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException

from scripts.chaos.client import Client

_INTERVAL_S = 0.01
_TIMEOUT_S = 30


class Prober:
    def __init__(self, service: Client) -> None:
        self.longest_s = 0.0
        self.failed = 0
        self.answered = 0
        self._service = service
        self._is_over = threading.Event()

    def run(self) -> None:
        connection = HTTPConnection(self._service.host, self._service.port, timeout=_TIMEOUT_S)
        while not self._is_over.wait(_INTERVAL_S):
            started = time.perf_counter()
            try:
                connection.request("GET", "/healthz")
                is_answered = connection.getresponse().read() == b'{"status":"ok"}'
            except (OSError, HTTPException):
                connection.close()
                is_answered = False
            self.longest_s = max(self.longest_s, time.perf_counter() - started)
            self.answered += is_answered
            self.failed += not is_answered
        connection.close()

    def stop(self) -> None:
        self._is_over.set()


@contextmanager
def probing(service: Client) -> Iterator[Prober]:
    prober = Prober(service)
    thread = threading.Thread(target=prober.run, daemon=True)
    thread.start()
    try:
        yield prober
    finally:
        prober.stop()
        thread.join()
