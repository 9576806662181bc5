"""What the service counts, for Prometheus.

Every label has a bounded set of values: a route is a template, a provider a configured name, an
outcome a class of the error tree. A label that a caller can choose fills Prometheus' memory.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# Our own answers take milliseconds, a model's take seconds.
_HTTP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LLM_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)


class Metrics:
    """One registry per instance: two services in one process do not share counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._http_requests = Counter(
            "http_requests",
            "Requests answered, by route template and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._http_duration = Histogram(
            "http_request_duration_seconds",
            "Time from a request's first byte to its answer's last.",
            ("method", "route"),
            buckets=_HTTP_BUCKETS_S,
            registry=self.registry,
        )
        self._llm_requests = Counter(
            "llm_requests",
            "Calls to a model: ok, cached, cancelled, or the name of the error.",
            ("provider", "outcome"),
            registry=self.registry,
        )
        self._llm_duration = Histogram(
            "llm_request_duration_seconds",
            "Time from a call to a model to the end of its answer.",
            ("provider",),
            buckets=_LLM_BUCKETS_S,
            registry=self.registry,
        )
        self._llm_tokens = Counter(
            "llm_tokens",
            "Tokens paid for, as the provider counts them.",
            ("provider", "kind"),
            registry=self.registry,
        )

    def http_request(self, method: str, route: str, status: int, duration_s: float) -> None:
        method = method if method in _METHODS else "OTHER"
        self._http_requests.labels(method, route, str(status)).inc()
        self._http_duration.labels(method, route).observe(duration_s)

    def llm_request(self, provider: str, outcome: str, duration_s: float) -> None:
        self._llm_requests.labels(provider, outcome).inc()
        self._llm_duration.labels(provider).observe(duration_s)

    def llm_tokens(self, provider: str, *, prompt: int, completion: int) -> None:
        self._llm_tokens.labels(provider, "prompt").inc(prompt)
        self._llm_tokens.labels(provider, "completion").inc(completion)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Write the metrics in the format that the scraper prefers, and name its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type
