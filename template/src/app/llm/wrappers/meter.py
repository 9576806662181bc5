from typing import Protocol


class Meter(Protocol):
    """What guards count about what they did. `app.telemetry.metrics.Metrics` is one."""

    def retry(self, provider: str) -> None:
        """Another attempt is made."""

    def fallback(self, provider: str) -> None:
        """The next provider is asked in place of this one."""

    def cache(self, provider: str, *, hit: bool) -> None:
        """A question was looked up."""


class NotMetered:
    """For who does not want to know."""

    def retry(self, provider: str) -> None:
        pass

    def fallback(self, provider: str) -> None:
        pass

    def cache(self, provider: str, *, hit: bool) -> None:
        pass


NOT_METERED = NotMetered()
