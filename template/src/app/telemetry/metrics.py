"""What the service counts, for Prometheus.

Every label has a bounded set of values: a route is a template, a provider and a model are
configured names, an outcome is a class of the error tree. A label that a caller can choose fills
Prometheus' memory.
"""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from app.telemetry import observed
from app.telemetry.children import Children
from app.telemetry.recent import Recent

BreakerState = Literal["closed", "half_open", "open"]
Operation = Literal["chat", "embeddings"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FIRST_SERVER_ERROR = 500

# Outcomes that say nothing about how a provider does: it was not asked, or not waited for.
_NOT_THE_PROVIDERS = frozenset({"cached", "cancelled", "UnsupportedRequest"})

# Our own answers take milliseconds, a model's take seconds, its tokens milliseconds again.
_HTTP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LLM_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
_TOKEN_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1)


def method_label(method: str) -> str:
    """The method of a request, which its caller may have made up."""
    return method if method in _METHODS else "OTHER"


class Metrics:
    """One registry per instance: two services in one process do not share counts.

    `recent_http` and `recent_llm` are the last minutes of the same, for `/metrics/summary`.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.recent_http = Recent()
        self.recent_llm = Recent()
        ProcessCollector(registry=self.registry)
        self.registry.register(observed.DURATION)
        self._measure_http()
        self._measure_llm()
        self._measure_streams()
        self._measure_guards()

    def _measure_http(self) -> None:
        self._http_requests = self._counter(
            "http_requests",
            "Requests answered, by route template and status.",
            ("method", "route", "status"),
        )
        self._http_duration = self._histogram(
            "http_request_duration_seconds",
            "Time from a request's first byte to its answer's last.",
            ("method", "route"),
            _HTTP_BUCKETS_S,
        )
        self._http_in_flight = (
            0  # a number that Prometheus reads is cheaper than a gauge of its own
        )
        Gauge(
            "http_requests_in_flight", "Requests being answered.", registry=self.registry
        ).set_function(lambda: self._http_in_flight)

    def _measure_llm(self) -> None:
        self._llm_requests = self._counter(
            "llm_requests",
            "Calls to a model: ok, cached, cancelled, or the name of the error.",
            ("provider", "operation", "model", "outcome"),
        )
        self._llm_duration = self._histogram(
            "llm_request_duration_seconds",
            "Time from a call to a model to the end of its answer.",
            ("provider", "operation"),
            _LLM_BUCKETS_S,
        )
        self._llm_in_flight = self._gauge(
            "llm_requests_in_flight", "Calls to a model that have not ended.", ("provider",)
        )
        self._llm_tokens = self._counter(
            "llm_tokens",
            "Tokens paid for, as the provider counts them.",
            ("provider", "model", "kind"),
        )
        self._llm_cost = self._counter(
            "llm_cost_usd",
            "US dollars spent on answers whose price is known.",
            ("provider", "model"),
        )

    def _measure_streams(self) -> None:
        self._first_token = self._histogram(
            "llm_stream_first_token_seconds",
            "Time from a call to the first text of its streamed answer.",
            ("provider",),
            _LLM_BUCKETS_S,
        )
        self._per_token = self._histogram(
            "llm_stream_token_seconds",
            "Time per token of a streamed answer, after its first text.",
            ("provider",),
            _TOKEN_BUCKETS_S,
        )

    def _measure_guards(self) -> None:
        self._retries = self._counter("llm_retries", "Attempts after the first.", ("provider",))
        self._fallbacks = self._counter(
            "llm_fallbacks", "Times a provider was given up for the next one.", ("provider",)
        )
        self._cache = self._counter(
            "llm_cache_lookups", "Questions looked up in the cache.", ("provider", "result")
        )
        self._hedges = self._counter(
            "llm_hedges",
            "Second calls beside a slow first one, by whether the second answered first.",
            ("provider", "result"),
        )
        self._limiter_wait = self._histogram(
            "llm_limiter_wait_seconds",
            "Time that calls waited for their turn under our own limit.",
            ("provider",),
            _LLM_BUCKETS_S,
        )
        self._limiter_refused = self._counter(
            "llm_limiter_refusals", "Calls refused by our own limit.", ("provider",)
        )
        self._breaker = self._gauge(
            "llm_breaker_state",
            "1 for the state that a provider's circuit breaker is in, 0 for the others.",
            ("provider", "state"),
        )

    def http_started(self) -> None:
        self._http_in_flight += 1

    def http_request(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count a request that `http_started` announced and that is over."""
        method = method_label(method)
        failed = status >= _FIRST_SERVER_ERROR
        self._http_in_flight -= 1
        self._http_requests(method, route, str(status)).inc()
        self._http_duration(method, route).observe(duration_s)
        self.recent_http.add(f"{method} {route}", duration_s, failed=failed)

    def llm_started(self, provider: str) -> None:
        self._llm_in_flight(provider).inc()

    def llm_request(
        self, provider: str, operation: Operation, model: str, outcome: str, duration_s: float
    ) -> None:
        """Count a call that `llm_started` announced and that is over."""
        self._llm_in_flight(provider).dec()
        self._llm_requests(provider, operation, model, outcome).inc()
        self._llm_duration(provider, operation).observe(duration_s)
        if outcome not in _NOT_THE_PROVIDERS:
            self.recent_llm.add(f"{provider} {operation}", duration_s, failed=outcome != "ok")

    def llm_tokens(self, provider: str, model: str, *, prompt: int, completion: int) -> None:
        self._llm_tokens(provider, model, "prompt").inc(prompt)
        self._llm_tokens(provider, model, "completion").inc(completion)

    def llm_cost(self, provider: str, model: str, usd: float) -> None:
        self._llm_cost(provider, model).inc(usd)

    def first_token(self, provider: str, seconds: float) -> None:
        self._first_token(provider).observe(seconds)

    def per_token(self, provider: str, seconds: float) -> None:
        self._per_token(provider).observe(seconds)

    def retry(self, provider: str) -> None:
        self._retries(provider).inc()

    def fallback(self, provider: str) -> None:
        self._fallbacks(provider).inc()

    def cache(self, provider: str, *, hit: bool) -> None:
        self._cache(provider, "hit" if hit else "miss").inc()

    def hedge(self, provider: str, *, won: bool) -> None:
        self._hedges(provider, "won" if won else "lost").inc()

    def limiter_wait(self, provider: str, seconds: float) -> None:
        self._limiter_wait(provider).observe(seconds)

    def limiter_refused(self, provider: str) -> None:
        self._limiter_refused(provider).inc()

    def breaker_state(self, provider: str, state: BreakerState) -> None:
        for known in get_args(BreakerState):
            self._breaker(provider, known).set(known == state)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Write the metrics in the format that the scraper prefers, and name its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def _counter(self, name: str, what: str, labels: tuple[str, ...]) -> Children[Counter]:
        return Children(Counter(name, what, labels, registry=self.registry))

    def _gauge(self, name: str, what: str, labels: tuple[str, ...]) -> Children[Gauge]:
        return Children(Gauge(name, what, labels, registry=self.registry))

    def _histogram(
        self, name: str, what: str, labels: tuple[str, ...], buckets: tuple[float, ...]
    ) -> Children[Histogram]:
        metric = Histogram(name, what, labels, buckets=buckets, registry=self.registry)
        return Children(metric)
