"""Guards that are broken on purpose, each for the incident that must notice it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from app.clients import ledger
from app.clients.ledger import Standing
from app.errors import AuthenticationError, LLMError, MalformedAnswerError
from app.features.chat.router import ERROR
from app.llm.fallback import Fallback
from app.llm.guards import deduplicated, retrying
from app.llm.pace import Pace
from app.resilience.bulkhead import Bulkhead
from app.resilience.circuit_breaker import CircuitBreaker
from app.resilience.hedge import Hedge
from app.resilience.outage import Outage
from app.resilience.retry import RetryBudget

Function = Callable[..., Any]


@dataclass(frozen=True)
class BrokenGuard:
    """A function of the service, and a broken one in its place, made from the real one."""

    owner: object
    name: str
    broken: Callable[[Function], Function]

    @contextmanager
    def instead(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.owner, self.name, self.broken(self._real))
            yield

    @contextmanager
    def watched(self, seen: Callable[[], None]) -> Iterator[None]:
        """Call `seen` when the real function is called."""
        real = self._real

        def watching(*args: Any, **options: Any) -> Any:
            seen()
            return real(*args, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.owner, self.name, watching)
            yield

    @property
    def _real(self) -> Function:
        real: Function = getattr(self.owner, self.name)
        return real


def _returning(*, value: object) -> Callable[[Function], Function]:
    return lambda _real: lambda *_args, **_options: value


def _first_error_is_final(_real: Function) -> Function:
    def is_skipped(_self: Fallback, error: LLMError, *_: object) -> bool:
        raise error

    return is_skipped


def _never_hedged(_real: Function) -> Function:
    async def call(_self: object, first: Function, _second: Function, **_: object) -> object:
        return await first()

    return call


def _endless_silence(real: Function) -> Function:
    def resumed(self: Pace) -> None:
        real(self)
        self._silent_until = math.inf

    return resumed


def _unclear_error(_real: Function) -> Function:
    def init(_self: object, message: str, **_: object) -> None:
        raise ValueError(message)

    return init


def _retries_refused_keys(real: Function) -> Function:
    return lambda error: isinstance(error, AuthenticationError) or real(error)


def _endless_queue(real: Function) -> Function:
    def enqueue(self: Bulkhead, *args: object) -> object:
        self._length = 10_000
        return real(self, *args)

    return enqueue


def _each_its_own_key(real: Function) -> Function:
    return lambda *args, **options: f"{real(*args, **options)} {object()!r}"


BROKEN = {
    "storm": BrokenGuard(RetryBudget, "spend", _returning(value=True)),
    "down": BrokenGuard(Fallback, "_is_skipped", _first_error_is_final),
    "slow": BrokenGuard(Hedge, "__call__", _never_hedged),
    "cut": BrokenGuard(ERROR, "frame", _returning(value=b"")),
    "pings": BrokenGuard(Pace, "resumed", _endless_silence),
    "malformed": BrokenGuard(MalformedAnswerError, "__init__", _unclear_error),
    "redis": BrokenGuard(Outage, "_begin", _returning(value=None)),
    "key": BrokenGuard(retrying, "is_worth_another_try", _retries_refused_keys),
    "client": BrokenGuard(ledger, "_standing", _returning(value=Standing())),
    "hang": BrokenGuard(CircuitBreaker, "_open", _returning(value=None)),
    "overload": BrokenGuard(Bulkhead, "_enqueue", _endless_queue),
    "stampede": BrokenGuard(deduplicated, "flight_key", _each_its_own_key),
}
