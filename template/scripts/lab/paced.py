"""An event loop with a clock that can run faster than the clock of the machine, by a factor."""

import asyncio
import selectors
import time
from collections.abc import Callable

# The real clocks: while a lab runs, the functions of `time` return the time of its loop.
_REAL_S: Callable[[], float] = time.monotonic
_DATE_S: Callable[[], float] = time.time


class _PacedSelector(selectors.SelectSelector):
    """Waits for a shorter time if the clock runs faster."""

    def __init__(self) -> None:
        super().__init__()
        self.speed = 1.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self.speed)


class PacedLoop(asyncio.SelectorEventLoop):
    """`time()` begins as the date, in seconds since 1970, so that it can replace each clock of `time`."""

    def __init__(self) -> None:
        self._paced = _PacedSelector()
        self._from_s, self._real_from_s = _DATE_S(), _REAL_S()
        super().__init__(self._paced)

    @property
    def speed(self) -> float:
        return self._paced.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        """Seconds of this loop in one second of the machine, from now on."""
        self._from_s, self._real_from_s = self.time(), _REAL_S()
        self._paced.speed = speed

    def time(self) -> float:
        return self._from_s + (_REAL_S() - self._real_from_s) * self.speed
