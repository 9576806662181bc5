"""Metrics by labels: `calls["openai", "ok"].inc()`, `durations["openai"].observe(0.8)`.

prometheus_client's `labels()` takes a lock and converts each value at every call. Its result is
kept here, which makes counting four times faster. Labels have bounded sets of values, so the
number of results is bounded too. A metric without labels is `jobs[()].inc()`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram, Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

M = TypeVar("M", Counter, Gauge, Histogram)


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
