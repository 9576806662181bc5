"""Simulated time for the whole service: it passes only while all tasks wait, so minutes take milliseconds."""

import asyncio
import inspect
import selectors
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

Clock = Callable[[], float]

_CLOCKS: tuple[Clock, ...] = (time.monotonic, time.perf_counter, time.time)
_START_S = 1000.0  # of a larger number the fractions are too coarse for timers


def run(scenario: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Like `asyncio.run`, with each clock of the service in simulated time."""
    with asyncio.Runner(loop_factory=_VirtualLoop) as runner, _every_clock(runner.get_loop()):
        return runner.run(scenario())


def now() -> float:
    return asyncio.get_running_loop().time()


@contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _every_clock(loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Replace the functions of `time`, and the parameters of the service that have them as defaults."""
    clocks = [(real, _clock_of(loop, real)) for real in _CLOCKS]
    with ExitStack() as patches:
        for real, clock in clocks:
            patches.enter_context(replaced(time, real.__name__, clock))
        for constructor in _constructors():
            given = constructor.__kwdefaults__
            ours = {
                key: clock
                for key, value in given.items()
                for real, clock in clocks
                if value is real
            }
            patches.enter_context(replaced(constructor, "__kwdefaults__", given | ours))
        yield


def _clock_of(loop: asyncio.AbstractEventLoop, real: Clock) -> Clock:
    """The clock of the loop. A module that is imported meanwhile may keep it: then it is real again."""
    return lambda: real() if loop.is_closed() else loop.time()


def _constructors() -> Iterator[Any]:
    """The constructors of the service's classes that have keyword parameters with defaults."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "app":
            for _, kind in inspect.getmembers(module, inspect.isclass):
                constructor = vars(kind).get("__init__")
                if kind.__module__ == name and getattr(constructor, "__kwdefaults__", None):
                    yield constructor


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


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now
