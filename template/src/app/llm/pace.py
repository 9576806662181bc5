"""The two timeouts of a stream: one for any event, one for progress of the model."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from app.errors import ProviderTimeoutError


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Timeouts of a stream, in seconds. `open_s` is from the request to the first progress."""

    first_chunk_s: float
    chunk_s: float
    silence_s: float
    open_s: float
    whole_s: float


class Pace:
    """Computes the time by which the next event of a stream must arrive.

    Liveness: each event, including pings, must arrive within `chunk_s` of the previous one.
    Progress: text, tool arguments or thinking must arrive within `silence_s`. Without the second
    timeout, a server that sends a ping every second would keep a stream, its connection and its
    caller for an hour.
    """

    def __init__(self, limits: StreamLimits, progress: Callable[[], int]) -> None:
        self._now = asyncio.get_running_loop().time
        now = self._now()
        self._limits = limits
        self._progress = progress
        self._known_progress = 0
        self._has_begun = False
        self._alive_until = now + limits.first_chunk_s
        self._silent_until = now + limits.open_s
        self._end = now + limits.whole_s

    @property
    def deadline(self) -> float:
        return min(self._alive_until, self._silent_until, self._end)

    def event(self) -> None:
        """Record an event. The first one starts the timeout for progress."""
        now = self._now()
        self._alive_until = now + self._limits.chunk_s
        if not self._has_begun:
            self._has_begun = True
            self._silent_until = min(self._silent_until, now + self._limits.silence_s)

    def resumed(self) -> None:
        """Restart the timeouts after the reader has used an event: its time is not counted."""
        now = self._now()
        self._alive_until = now + self._limits.chunk_s
        if (progress := self._progress()) != self._known_progress:
            self._known_progress = progress
            self._silent_until = now + self._limits.silence_s

    def timed_out(self, provider: str) -> ProviderTimeoutError:
        if self._has_begun and self._silent_until <= self._now():
            return ProviderTimeoutError(
                f"{provider} sent events, but no text in time", provider=provider
            )
        return ProviderTimeoutError(f"{provider} did not answer in time", provider=provider)
