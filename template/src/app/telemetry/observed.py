"""Log and time any function (`@observed("cache.lookup")`) or block (`with observation("…"):`).

Entry and exit are logged at debug level. The duration goes to a histogram by outcome, which also
counts runs and failures. Arguments and results are not logged, except arguments that are named:
`@observed("search", arguments=("top_k",))`.

A function belongs to the process and not to one service. So does its histogram: every `Metrics` of
the process includes it.
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

from app.telemetry.series import histogram

_log = structlog.get_logger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

DURATION = histogram(
    "operation_duration_seconds",
    "Duration of observed functions and blocks, by outcome: ok, error, or cancelled.",
    ("operation", "outcome"),
    buckets_s=(0.0001, 0.001, 0.01, 0.1, 1, 10, 60),
)


class observation:  # noqa: N801 - reads as a statement, like `suppress` and `closing`
    """One run of a block, from entry to exit. `facts` are logged at both."""

    __slots__ = ("_facts", "_is_debugged", "_name", "_started")

    def __init__(self, name: str, **facts: object) -> None:
        self._name = name
        self._facts = facts

    def __enter__(self) -> None:
        # Check the level first: structlog takes 1 µs to discard a debug line.
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
        outcome = "ok" if kind is None else _outcome(kind)
        DURATION[self._name, outcome].observe(duration_s)
        if self._is_debugged:
            _log.debug(
                "operation.left",
                operation=self._name,
                outcome=outcome,
                duration_ms=round(duration_s * 1000, 3),
                error=None if kind is None else kind.__name__,
                **self._facts,
            )


def _outcome(kind: type[BaseException]) -> str:
    """Only an `Exception` is a failure; a cancelled task or a closed stream is "cancelled"."""
    return "error" if issubclass(kind, Exception) else "cancelled"


def observed(
    name: str, *, arguments: tuple[str, ...] = ()
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Watch a function, coroutine function or async generator function; keep its type.

    An async generator is watched from its first item to its end. It can be iterated and closed, but
    `asend` does not work. `arguments` are the names of the arguments to log; a name that the
    function does not have raises `TypeError` at decoration.
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


def _reader(function: Callable[..., object], names: tuple[str, ...]) -> _Facts | None:
    if not names:
        return None
    signature = inspect.signature(function)
    if unknown := [name for name in names if name not in signature.parameters]:
        raise TypeError(f"{function.__qualname__} has no argument {unknown[0]}")

    def read(args: tuple[object, ...], kwargs: dict[str, object]) -> dict[str, object]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return {name: bound.arguments[name] for name in names}

    return read


def _plain(name: str, function: Callable[P, R], facts: _Facts | None) -> Callable[P, R]:
    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with observation(name, **(facts(args, kwargs) if facts else {})):
            return function(*args, **kwargs)

    return run


def _coroutine(
    name: str, function: Callable[P, Awaitable[R]], facts: _Facts | None
) -> Callable[P, Awaitable[R]]:
    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if logging.root.level <= logging.DEBUG:
            with observation(name, **(facts(args, kwargs) if facts else {})):
                return await function(*args, **kwargs)
        # Without lines to log, only the time is needed: an `observation` would be three calls more.
        outcome, started = "ok", time.perf_counter()
        try:
            return await function(*args, **kwargs)
        except BaseException as error:
            outcome = _outcome(type(error))
            raise
        finally:
            DURATION[name, outcome].observe(time.perf_counter() - started)

    return run


def _generator(
    name: str, function: Callable[P, AsyncGenerator[R, None]], facts: _Facts | None
) -> Callable[P, AsyncGenerator[R, None]]:
    @wraps(function)
    async def run(*args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[R, None]:
        with observation(name, **(facts(args, kwargs) if facts else {})):
            async with aclosing(function(*args, **kwargs)) as items:
                async for item in items:
                    yield item

    return run
