"""A registry of Prometheus's series, and the making of the series in it."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from app.telemetry.series import Labelled, counter, gauge, histogram

# A model or a tool answers in seconds.
CALL_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


class SeriesRegistry:
    """One registry per instance: two services in one process do not share counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Render the metrics in the scraper's preferred format; also return the media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def _counter(self, name: str, what: str, labels: tuple[str, ...]) -> Labelled[Counter]:
        series = counter(name, what, labels)
        self.registry.register(series.metric)
        return series

    def _gauge(self, name: str, what: str, labels: tuple[str, ...]) -> Labelled[Gauge]:
        series = gauge(name, what, labels)
        self.registry.register(series.metric)
        return series

    def _histogram(
        self, name: str, what: str, labels: tuple[str, ...], buckets_s: tuple[float, ...]
    ) -> Labelled[Histogram]:
        series = histogram(name, what, labels, buckets_s=buckets_s)
        self.registry.register(series.metric)
        return series
