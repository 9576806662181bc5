"""Watch any function: `@observed("cache.lookup")`, or a block: `with observation("cache.lookup"):`.

Entry and exit are logged at debug; the duration goes to a histogram by outcome, whose count is how
often it ran and how often it failed. Nothing of what goes in or out is logged, except arguments
that are named: `@observed("search", arguments=("top_k",))`.

A function belongs to the process, not to a service, and so does its histogram: every `Metrics` of
the process shows it.
"""

import inspect
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from types import TracebackType
from typing import ParamSpec, TypeVar, cast

import structlog

from app.telemetry.series import Timed

_log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

DURATION = Timed(
    "operation_duration_seconds",
    "Time in a function or block that is observed: ok, error, or cancelled.",
    ("operation", "outcome"),
    buckets_s=(0.0001, 0.001, 0.01, 0.1, 1, 10, 60),
)


class observation:  # noqa: N801 - reads as a statement, like `suppress` and `closing`
    """One run of a block, from its entry to its exit. `facts` are logged with both."""

    __slots__ = ("_facts", "_is_debugged", "_name", "_started")

    def __init__(self, name: str, **facts: object) -> None:
        self._name = name
        self._facts = facts

    def __enter__(self) -> None:
        # Asked before a line is put together: structlog takes 1 µs to find out that nobody wants it.
        self._is_debugged = logging.root.level <= logging.DEBUG
        if self._is_debugged:
            _log.debug("operation.entered", operation=self._name, **self._facts)
        self._started = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration_s = time.perf_counter() - self._started
        outcome = _outcome(kind)
        DURATION.add(duration_s, self._name, outcome)
        if self._is_debugged:
            _log.debug(
                "operation.left",
                operation=self._name,
                outcome=outcome,
                duration_ms=round(duration_s * 1000, 3),
                error=None if kind is None else kind.__name__,
                **self._facts,
            )


def _outcome(kind: type[BaseException] | None) -> str:
    """Only an `Exception` is a failure: a cancelled task and a stream left early were given up."""
    if kind is None:
        return "ok"
    return "error" if issubclass(kind, Exception) else "cancelled"


def observed(
    name: str, *, arguments: tuple[str, ...] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Watch a function, a coroutine function or an async generator function; its type stays.

    An async generator is watched from its first item to its end, and can be iterated and closed,
    not sent to. `arguments` are the names of those that may be logged; one that the function does
    not have is a `TypeError` at once.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        facts = _reader(function, arguments)
        if inspect.isasyncgenfunction(function):
            return cast("Callable[P, R]", _generator(name, function, facts))
        if inspect.iscoroutinefunction(function):
            return cast("Callable[P, R]", _coroutine(name, function, facts))
        return _plain(name, function, facts)

    return decorate


_Facts = Callable[[tuple[object, ...], dict[str, object]], dict[str, object]]


def _reader(function: Callable[..., object], names: tuple[str, ...]) -> _Facts:
    if not names:
        return lambda _args, _kwargs: {}
    signature = inspect.signature(function)
    if unknown := [name for name in names if name not in signature.parameters]:
        raise TypeError(f"{function.__qualname__} has no argument {unknown[0]}")

    def read(args: tuple[object, ...], kwargs: dict[str, object]) -> dict[str, object]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return {name: bound.arguments[name] for name in names}

    return read


def _plain(name: str, function: Callable[P, R], facts: _Facts) -> Callable[P, R]:
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with observation(name, **facts(args, kwargs)):
            return function(*args, **kwargs)

    return run


def _coroutine(
    name: str, function: Callable[P, Awaitable[R]], facts: _Facts
) -> Callable[P, Awaitable[R]]:
    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with observation(name, **facts(args, kwargs)):
            return await function(*args, **kwargs)

    return run


def _generator(
    name: str, function: Callable[P, AsyncGenerator[R, None]], facts: _Facts
) -> Callable[P, AsyncGenerator[R, None]]:
    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R, None]:
        with observation(name, **facts(args, kwargs)):
            async with aclosing(function(*args, **kwargs)) as items:
                async for item in items:
                    yield item

    return run
