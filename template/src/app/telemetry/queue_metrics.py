"""The metrics of the queues in front of the providers' connections."""

from collections.abc import Callable

from prometheus_client import Gauge

from app.telemetry.series import CALL_BUCKETS_S, SeriesRegistry


class QueueMetrics(SeriesRegistry):
    def _measure_queues(self) -> None:
        self._queue_waiting = self._gauge(
            "llm_queue_waiting", "Calls that wait for a free connection now.", ("provider",)
        )
        self._loads: dict[str, Callable[[], float]] = {}  # by provider
        Gauge(
            "llm_places_used_ratio",
            "Share of MAX_CONCURRENCY that calls use or wait for, of the busiest provider.",
            registry=self.registry,
        ).set_function(lambda: max((load() for load in self._loads.values()), default=0.0))
        self._queue_wait = self._histogram(
            "llm_queue_wait_seconds",
            "Time that calls waited for a free connection before they were sent.",
            ("provider",),
            CALL_BUCKETS_S,
        )
        self._shed = self._counter(
            "llm_shed",
            "Calls refused because too many were waiting: full, displaced, timeout.",
            ("provider", "reason"),
        )
        self._overflows = self._counter(
            "llm_overflows",
            "Calls sent to the next provider because all connections of this one were busy.",
            ("provider",),
        )

    def queue(self, provider: str, waiting: Callable[[], int], load: Callable[[], float]) -> None:
        self._queue_waiting[provider].set_function(waiting)
        self._loads[provider] = load

    def queue_wait(self, provider: str, seconds: float) -> None:
        self._queue_wait[provider].observe(seconds)

    def shed(self, provider: str, reason: str) -> None:
        self._shed[provider, reason].inc()

    def overflow(self, provider: str) -> None:
        self._overflows[provider].inc()
