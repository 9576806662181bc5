from collections.abc import Callable
from typing import Protocol

from app.resilience.circuit_breaker import CircuitState


class GuardMetrics(Protocol):
    """What guards count. `app.telemetry.metrics.Metrics` is one."""

    def retry(self, provider: str) -> None:
        """Another attempt is made."""

    def fallback(self, provider: str) -> None:
        """The next provider is asked in place of this one."""

    def cache(self, provider: str, *, hit: bool) -> None:
        """A request was looked up in the cache."""

    def hedge(self, provider: str, *, won: bool) -> None:
        """A slow request was sent a second time; `won`: the second answer came first."""

    def limiter_wait(self, provider: str, seconds: float) -> None:
        """A call waited for its turn."""

    def limiter_refused(self, provider: str) -> None:
        """A call was refused by our own limit."""

    def queue(self, provider: str, waiting: Callable[[], int], load: Callable[[], float]) -> None:
        """A queue for connections exists.

        `waiting` returns the number of calls in it, `load` the share of connections that calls use
        or wait for.
        """

    def queue_wait(self, provider: str, seconds: float) -> None:
        """A call waited for a free connection."""

    def shed(self, provider: str, reason: str) -> None:
        """A call was refused, because too many were waiting."""

    def overflow(self, provider: str) -> None:
        """A call goes to the next provider, because all connections of this one are busy."""

    def shared(self, *, stream: bool) -> None:
        """A request joined an identical call in progress."""

    def breaker(self, provider: str, state: Callable[[], CircuitState]) -> None:
        """A circuit exists. `state` returns the state that it is in at that moment."""


class NullGuardMetrics:
    """Counts nothing."""

    def retry(self, provider: str) -> None:
        pass

    def fallback(self, provider: str) -> None:
        pass

    def cache(self, provider: str, *, hit: bool) -> None:
        pass

    def hedge(self, provider: str, *, won: bool) -> None:
        pass

    def limiter_wait(self, provider: str, seconds: float) -> None:
        pass

    def limiter_refused(self, provider: str) -> None:
        pass

    def queue(self, provider: str, waiting: Callable[[], int], load: Callable[[], float]) -> None:
        pass

    def queue_wait(self, provider: str, seconds: float) -> None:
        pass

    def shed(self, provider: str, reason: str) -> None:
        pass

    def overflow(self, provider: str) -> None:
        pass

    def shared(self, *, stream: bool) -> None:
        pass

    def breaker(self, provider: str, state: Callable[[], CircuitState]) -> None:
        pass


NO_METRICS = NullGuardMetrics()
