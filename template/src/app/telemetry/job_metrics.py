"""The metrics of jobs: their items, and the queue of their batches."""

from app.telemetry.series import SeriesRegistry


class JobMetrics(SeriesRegistry):
    def _measure_jobs(self) -> None:
        self._job_items = self._counter(
            "job_items", "Items of jobs that have ended, by kind and outcome.", ("kind", "outcome")
        )
        self._job_redeliveries = self._counter(
            "job_redeliveries",
            "Batches that were delivered again, because their worker had ended.",
            (),
        )
        self._job_batches = self._counter(
            "job_batches",
            "Batches of jobs at a provider: sent, ended, failed, lost, cancelled.",
            ("outcome",),
        )
        self._jobs_at_provider = self._gauge(
            "jobs_parts_at_provider", "Parts of jobs that wait for a batch of a provider.", ()
        )
        self._jobs_batches = self._gauge(
            "jobs_queue_batches", "Batches of jobs that wait or are in progress.", ()
        )
        self._jobs_oldest = self._gauge(
            "jobs_queue_oldest_seconds", "Age of the oldest batch that has not ended.", ()
        )

    def job_item(self, kind: str, *, succeeded: bool) -> None:
        self._job_items[kind, "succeeded" if succeeded else "failed"].inc()

    def job_redelivered(self) -> None:
        self._job_redeliveries[()].inc()

    def job_batch(self, outcome: str) -> None:
        self._job_batches[(outcome,)].inc()

    def jobs_queue(self, batches: int, oldest_s: float, at_provider: int) -> None:
        self._jobs_batches[()].set(batches)
        self._jobs_at_provider[()].set(at_provider)
        self._jobs_oldest[()].set(oldest_s)
