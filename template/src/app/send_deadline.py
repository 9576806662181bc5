"""Closes the connection of a client that does not read the answer.

The connection would keep its buffers, its place and, for a stream, its call to a provider for ever.
"""

import asyncio
from collections.abc import Callable


class SendDeadline:
    """Calls `on_expired` unless it is stopped within `timeout_s` seconds of its start.

    It starts when the write buffer is full, and stops when the client has read three quarters of
    it. So a client that reads a byte now and then does not extend it.
    """

    def __init__(self, timeout_s: float, on_expired: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._on_expired = on_expired
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._timeout_s, self._expire)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        self._on_expired()
