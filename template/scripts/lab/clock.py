"""The time of an event loop for the whole service, instead of the time of the machine."""

import asyncio
import inspect
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from scripts.lab.loop import VirtualLoop

T = TypeVar("T")

Clock = Callable[[], float]

_CLOCKS: tuple[Clock, ...] = (time.monotonic, time.perf_counter, time.time)


def run(
    scenario: Callable[[], Coroutine[Any, Any, T]],
    make_loop: Callable[[], asyncio.AbstractEventLoop] = VirtualLoop,
) -> T:
    """Like `asyncio.run`, with each clock of the service in the time of the loop."""
    with asyncio.Runner(loop_factory=make_loop) as runner, _every_clock(runner.get_loop()):
        return runner.run(scenario())


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
