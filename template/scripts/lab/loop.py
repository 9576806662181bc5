"""An event loop with simulated time: it passes only while all tasks wait, so minutes take milliseconds."""

import asyncio
import selectors

_START_S = 1000.0  # of a larger number the fractions are too coarse for timers


def now() -> float:
    return asyncio.get_running_loop().time()


class _JumpingSelector(selectors.SelectSelector):
    """Does not wait for time to pass: it moves its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = _START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("all tasks wait, and none of them for a timer")
        self.now += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now
