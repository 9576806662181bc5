"""Metrics by their labels: `counted.add("openai", "ok")`, `timed.add(0.8, "openai")`.

prometheus_client's `labels()` takes a lock and converts each value, every time. What it returned is
kept here, which makes counting four times cheaper. Labels have bounded values, so what is kept is
bounded as well.
"""

from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector

M = TypeVar("M", Counter, Gauge, Histogram)


class _Series(Collector, Generic[M]):
    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._known: dict[tuple[str, ...], M] = {}

    def _of(self, labels: tuple[str, ...]) -> M:
        child = self._known.get(labels)
        if child is None:
            child = self._known[labels] = self._metric.labels(*labels)
        return child

    def collect(self) -> Iterable[Metric]:
        return self._metric.collect()


class Counted(_Series[Counter]):
    """A number that only grows. It is called `…_total` where it is shown."""

    def __init__(self, name: str, what: str, labels: Sequence[str]) -> None:
        super().__init__(Counter(name, what, labels, registry=None))

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self._of(labels).inc(amount)


class Measured(_Series[Gauge]):
    """A number that goes up and down."""

    def __init__(self, name: str, what: str, labels: Sequence[str]) -> None:
        super().__init__(Gauge(name, what, labels, registry=None))

    def add(self, *labels: str, amount: float = 1.0) -> None:
        self._of(labels).inc(amount)

    def set(self, *labels: str, value: float) -> None:
        self._of(labels).set(value)


class Timed(_Series[Histogram]):
    """A histogram of seconds."""

    def __init__(
        self, name: str, what: str, labels: Sequence[str], *, buckets_s: Sequence[float]
    ) -> None:
        super().__init__(Histogram(name, what, labels, buckets=buckets_s, registry=None))

    def add(self, seconds: float, *labels: str) -> None:
        self._of(labels).observe(seconds)
