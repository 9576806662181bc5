"""Metrics by labels: `calls["openai", "ok"].inc()`, `durations["openai"].observe(0.8)`.

prometheus_client's `labels()` takes a lock and converts each value at every call. Its result is
kept here, which makes counting four times faster. Labels have bounded sets of values, so the
number of results is bounded too. A metric without labels is `jobs[()].inc()`. A `SeriesRegistry`
makes and holds the metrics of one service.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

M = TypeVar("M", Counter, Gauge, Histogram)

# A model or a tool answers in seconds.
CALL_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


class Labelled(dict[str | tuple[str, ...], M], Generic[M]):
    """A counter, gauge or histogram for each value of the labels of `metric`, made at first use."""

    def __init__(self, metric: M) -> None:
        super().__init__()
        self.metric: M = metric

    def __missing__(self, labels: str | tuple[str, ...]) -> M:
        values = (labels,) if isinstance(labels, str) else labels
        child: M = self.metric.labels(*values) if values else self.metric
        self[labels] = child
        return child


def counter(name: str, what: str, labels: Sequence[str]) -> Labelled[Counter]:
    """A number that only grows. In the output its name ends in `_total`."""
    return Labelled(Counter(name, what, labels, registry=None))


def gauge(name: str, what: str, labels: Sequence[str]) -> Labelled[Gauge]:
    """A number that goes up and down."""
    return Labelled(Gauge(name, what, labels, registry=None))


def histogram(
    name: str, what: str, labels: Sequence[str], *, buckets_s: Sequence[float]
) -> Labelled[Histogram]:
    """A distribution of seconds."""
    return Labelled(Histogram(name, what, labels, buckets=buckets_s, registry=None))


class StateOf(Collector):
    """A gauge per state: 1 for the current state, 0 for the others. Read at each scrape.

    Some states change with time alone, without an event that could update a gauge.
    """

    def __init__(self, name: str, what: str, label: str, states: Sequence[str]) -> None:
        self._name, self._what, self._label = name, what, label
        self._states = tuple(states)
        self._current: dict[str, Callable[[], str]] = {}

    def watch(self, thing: str, state: Callable[[], str]) -> None:
        self._current[thing] = state

    def collect(self) -> Iterable[Metric]:
        family = GaugeMetricFamily(self._name, self._what, labels=(self._label, "state"))
        for thing, state in self._current.items():
            current = state()
            for known in self._states:
                family.add_metric((thing, known), float(known == current))
        return [family]


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
