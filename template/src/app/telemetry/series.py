"""Counters, gauges and histograms with labels, as Prometheus' client collects them.

The client's own take six calls and two locks for one observation, and a request makes a dozen. These
are rows of numbers, which become the client's samples when somebody asks for them. That is a third
cheaper, and more where it counts: code and data of a request empty the processor's caches.

Labels have bounded values, so the rows are bounded as well.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate
from threading import Lock

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

_Labels = tuple[str, ...]


class Counted(Collector):
    """A number by its labels: `counted.add("openai", "ok")`.

    One that can go down is a gauge; one that cannot is called `…_total` where it is shown.
    """

    def __init__(self, name: str, what: str, labels: Sequence[str], *, gauge: bool = False) -> None:
        self._family = GaugeMetricFamily if gauge else CounterMetricFamily
        self._described = name, what
        self._labels = tuple(labels)
        self._lock = Lock()
        self._values: dict[_Labels, float] = {}

    def add(self, *labels: str, amount: float = 1.0) -> None:
        with self._lock:
            self._values[labels] = self._values.get(labels, 0.0) + amount

    def set(self, *labels: str, value: float) -> None:
        with self._lock:
            self._values[labels] = value

    def collect(self) -> Iterator[Metric]:
        family = self._family(*self._described, labels=self._labels)
        with self._lock:
            values = list(self._values.items())
        for labels, value in values:
            family.add_metric(labels, value)
        yield family


class Timed(Collector):
    """A histogram of seconds by its labels: `timed.add(0.8, "openai")`."""

    def __init__(
        self, name: str, what: str, labels: Sequence[str], *, buckets_s: Sequence[float]
    ) -> None:
        self._described = name, what
        self._labels = tuple(labels)
        self._bounds = [*buckets_s]
        self._shown_bounds = [*(str(float(bound)) for bound in buckets_s), "+Inf"]
        self._lock = Lock()
        # The count of each bucket, and at the end the sum of what was observed.
        self._rows: dict[_Labels, list[float]] = {}

    def add(self, seconds: float, *labels: str) -> None:
        with self._lock:
            row = self._rows.get(labels)
            if row is None:
                row = self._rows[labels] = [0.0] * (len(self._shown_bounds) + 1)
            row[bisect_left(self._bounds, seconds)] += 1
            row[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(*self._described, labels=self._labels)
        with self._lock:
            rows = [(labels, list(row)) for labels, row in self._rows.items()]
        for labels, (*counts, total) in rows:
            shown = zip(self._shown_bounds, accumulate(counts), strict=True)
            family.add_metric(labels, list(shown), total)
        yield family
