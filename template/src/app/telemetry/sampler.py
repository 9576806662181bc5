"""Sampling of log lines that a hostile client can cause thousands of times a second."""

import time
from collections.abc import Callable

_INTERVAL_S = 10.0


class Sampler:
    """Lets one line in ten seconds pass for each key. Keys must have few values."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._next: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def take(self, key: str) -> int | None:
        """Return how many lines were left out since the last one, or `None` to leave this one out."""
        now = self._clock()
        if now < self._next.get(key, 0.0):
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return None
        self._next[key] = now + _INTERVAL_S
        return self._left_out.pop(key, 0)
