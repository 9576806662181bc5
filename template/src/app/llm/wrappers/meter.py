from typing import Literal, Protocol

BreakerState = Literal["closed", "half_open", "open"]


class Meter(Protocol):
    """What guards count about what they did. `app.telemetry.metrics.Metrics` is one."""

    def retry(self, provider: str) -> None:
        """Another attempt is made."""

    def fallback(self, provider: str) -> None:
        """The next provider is asked in place of this one."""

    def cache(self, provider: str, *, hit: bool) -> None:
        """A question was looked up."""

    def hedge(self, provider: str, *, won: bool) -> None:
        """A slow question was asked a second time, and the second answer came first, or not."""

    def limiter_wait(self, provider: str, seconds: float) -> None:
        """A call waited for its turn."""

    def limiter_refused(self, provider: str) -> None:
        """A call was refused by our own limit."""

    def breaker_state(self, provider: str, state: BreakerState) -> None:
        """The circuit is in this state from now on."""


class NotMetered:
    """For who does not want to know."""

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

    def breaker_state(self, provider: str, state: BreakerState) -> None:
        pass


NOT_METERED = NotMetered()
