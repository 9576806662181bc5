"""What the service counts, for Prometheus.

Every label has a bounded set of values: a route is a template, a provider and a model are
configured names, an outcome is a class of the error tree. A label that a caller can choose fills
Prometheus' memory.
"""

from typing import Literal, TypeVar, get_args

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from app.telemetry import observed
from app.telemetry.recent import Recent
from app.telemetry.series import Counted, Measured, Timed

BreakerState = Literal["closed", "half_open", "open"]
Operation = Literal["chat", "embeddings"]

S = TypeVar("S", bound=Collector)

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
        self._http_in_flight = 0  # without labels, a number that Prometheus reads is enough
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
        self._http_requests.add(method, route, str(status))
        self._http_duration.add(duration_s, method, route)
        self.recent_http.add(f"{method} {route}", duration_s, failed=failed)

    def llm_started(self, provider: str) -> None:
        self._llm_in_flight.add(provider)

    def llm_request(
        self, provider: str, operation: Operation, model: str, outcome: str, duration_s: float
    ) -> None:
        """Count a call that `llm_started` announced and that is over."""
        self._llm_in_flight.add(provider, amount=-1)
        self._llm_requests.add(provider, operation, model, outcome)
        self._llm_duration.add(duration_s, provider, operation)
        if outcome not in _NOT_THE_PROVIDERS:
            self.recent_llm.add(f"{provider} {operation}", duration_s, failed=outcome != "ok")

    def llm_tokens(self, provider: str, model: str, *, prompt: int, completion: int) -> None:
        self._llm_tokens.add(provider, model, "prompt", amount=prompt)
        self._llm_tokens.add(provider, model, "completion", amount=completion)

    def llm_cost(self, provider: str, model: str, usd: float) -> None:
        self._llm_cost.add(provider, model, amount=usd)

    def first_token(self, provider: str, seconds: float) -> None:
        self._first_token.add(seconds, provider)

    def per_token(self, provider: str, seconds: float) -> None:
        self._per_token.add(seconds, provider)

    def retry(self, provider: str) -> None:
        self._retries.add(provider)

    def fallback(self, provider: str) -> None:
        self._fallbacks.add(provider)

    def cache(self, provider: str, *, hit: bool) -> None:
        self._cache.add(provider, "hit" if hit else "miss")

    def hedge(self, provider: str, *, won: bool) -> None:
        self._hedges.add(provider, "won" if won else "lost")

    def limiter_wait(self, provider: str, seconds: float) -> None:
        self._limiter_wait.add(seconds, provider)

    def limiter_refused(self, provider: str) -> None:
        self._limiter_refused.add(provider)

    def breaker_state(self, provider: str, state: BreakerState) -> None:
        for known in get_args(BreakerState):
            self._breaker.set(provider, known, value=known == state)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Write the metrics in the format that the scraper prefers, and name its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def _counter(self, name: str, what: str, labels: tuple[str, ...]) -> Counted:
        return self._registered(Counted(name, what, labels))

    def _gauge(self, name: str, what: str, labels: tuple[str, ...]) -> Measured:
        return self._registered(Measured(name, what, labels))

    def _histogram(
        self, name: str, what: str, labels: tuple[str, ...], buckets_s: tuple[float, ...]
    ) -> Timed:
        return self._registered(Timed(name, what, labels, buckets_s=buckets_s))

    def _registered(self, series: S) -> S:
        self.registry.register(series)
        return series
