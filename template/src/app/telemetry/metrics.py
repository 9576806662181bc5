"""The metrics of the service, for Prometheus.

Every label has a bounded set of values: a route is a template, a provider and a model are
configured names, an outcome is a class of the error tree. A label with values chosen by callers
would fill the memory of Prometheus.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.process_collector import ProcessCollector

from app.resilience.circuit_breaker import CircuitState
from app.telemetry import observed
from app.telemetry.client_metrics import ClientMetrics
from app.telemetry.job_metrics import JobMetrics
from app.telemetry.queue_metrics import QueueMetrics
from app.telemetry.recent import Recent
from app.telemetry.series import CALL_BUCKETS_S, StateOf
from app.telemetry.tool_metrics import ToolMetrics

Operation = Literal["chat", "embeddings"]

# The methods with a label of their own; all others share OTHER.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_FIRST_SERVER_ERROR = 500

# How a call can end. "refused": a guard or the converter refused the call, and the provider was not
# called. Any other outcome is the name of an error: the call failed.
_OK, _FAILED = "ok", "failed"
_ENDS = {
    "ok": _OK,
    "cached": "cached",
    "cancelled": "cancelled",
    "LimitReachedError": "refused",
    "CircuitOpenError": "refused",
    "OverloadedError": "refused",
    "UnsupportedRequestError": "refused",
    "TokenLimitError": "refused",
}

# Our own endpoints answer in milliseconds, and single tokens take milliseconds.
_HTTP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_TOKEN_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1)


class Metrics(ClientMetrics, QueueMetrics, JobMetrics, ToolMetrics):
    """All metrics of one service.

    `recent_http` and `recent_llm` hold the calls of the last minutes, for `/metrics/summary`.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        self.recent_http = Recent()
        self.recent_llm = Recent()
        ProcessCollector(registry=self.registry)
        self.registry.register(observed.DURATION.metric)
        self._measure_http()
        self._measure_clients()
        self._measure_llm()
        self._measure_streams()
        self._measure_guards()
        self._measure_queues()
        self._measure_jobs()
        self._measure_tools()

    def _measure_http(self) -> None:
        self._http_requests = self._counter(
            "http_requests",
            "Requests answered, by route template and status.",
            ("method", "route", "status"),
        )
        self._http_duration = self._histogram(
            "http_request_duration_seconds",
            "Time from the first byte of a request to the last byte of its answer.",
            ("method", "route"),
            _HTTP_BUCKETS_S,
        )
        self.http_in_flight = 0  # counted by the access log, and read at each scrape
        Gauge(
            "http_requests_in_flight", "Requests being answered.", registry=self.registry
        ).set_function(lambda: self.http_in_flight)

        self._bytes_in_flight = Gauge(
            "http_bytes_in_flight",
            "Memory that requests hold, as estimated; MAX_BYTES_IN_FLIGHT bounds it.",
            registry=self.registry,
        )
        self._bytes_refused = self._counter(
            "http_bytes_refusals", "Requests refused because others hold MAX_BYTES_IN_FLIGHT.", ()
        )

    def _measure_llm(self) -> None:
        self._llm_requests = self._counter(
            "llm_requests",
            "Calls to a model: ok, cached, cancelled, or the name of the error.",
            ("provider", "operation", "model", "outcome"),
        )
        self._llm_duration = self._histogram(
            "llm_request_duration_seconds",
            "Time that the provider took for a call, in all attempts, until the answer or the failure.",
            ("provider", "operation"),
            CALL_BUCKETS_S,
        )
        self._llm_call_duration = self._histogram(
            "llm_call_duration_seconds",
            "Time from a call to its end: ok, cached, cancelled, refused, or failed.",
            ("provider", "operation", "end"),
            CALL_BUCKETS_S,
        )
        self.llm_in_flight = self._gauge(
            "llm_requests_in_flight", "Calls to a model that have not ended.", ("provider",)
        )
        self._llm_tokens = self._counter(
            "llm_tokens",
            "Tokens paid for, as the provider counts them. All other kinds are parts of prompt and completion.",
            ("provider", "model", "kind"),
        )
        self._llm_cost = self._counter(
            "llm_cost_usd",
            "US dollars spent, as far as the prices are known.",
            ("provider", "model"),
        )
        self._llm_unknown_cost = self._counter(
            "llm_calls_of_unknown_cost",
            "Attempts that may have cost more than the counted cost, by reason.",
            ("provider", "reason"),
        )

    def _measure_streams(self) -> None:
        self._first_token = self._histogram(
            "llm_stream_first_token_seconds",
            "Time from a call to the first text of its streamed answer.",
            ("provider",),
            CALL_BUCKETS_S,
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
            "llm_fallbacks", "Fallbacks from a failed provider to the next one.", ("provider",)
        )
        self._cache = self._counter(
            "llm_cache_lookups", "Lookups in the cache, by result.", ("provider", "result")
        )
        self._hedges = self._counter(
            "llm_hedges",
            "Second calls, sent because the first was slow, by whether the second answered first.",
            ("provider", "result"),
        )
        self._limiter_wait = self._histogram(
            "llm_limiter_wait_seconds",
            "Time that calls waited for their turn under our own limit.",
            ("provider",),
            CALL_BUCKETS_S,
        )
        self._limiter_refused = self._counter(
            "llm_limiter_refusals", "Calls refused by our own limit.", ("provider",)
        )
        self._shared = self._counter(
            "llm_shared", "Requests that joined an identical one in progress.", ("stream",)
        )
        self._breakers = StateOf(
            "llm_breaker_state",
            "1 for the current state of a provider's circuit breaker, 0 for the others.",
            "provider",
            get_args(CircuitState),
        )
        self.registry.register(self._breakers)

    def http_request(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count a finished request."""
        method = method if method in METHODS else "OTHER"
        failed = status >= _FIRST_SERVER_ERROR
        self._http_requests[method, route, str(status)].inc()
        self._http_duration[method, route].observe(duration_s)
        self.recent_http.add(f"{method} {route}", duration_s, failed=failed)

    def watch_bytes(self, in_flight: Callable[[], int]) -> None:
        self._bytes_in_flight.set_function(in_flight)

    def bytes_refused(self) -> None:
        self._bytes_refused[()].inc()

    def llm_request(
        self,
        provider: str,
        operation: Operation,
        model: str,
        outcome: str,
        duration_s: float,
        *,
        provider_s: float | None,
    ) -> None:
        """Count a finished call.

        `provider_s` is the provider's part of the duration; `None` if the provider was not called.
        """
        end = _ENDS.get(outcome, _FAILED)
        self._llm_requests[provider, operation, model, outcome].inc()
        self._llm_call_duration[provider, operation, end].observe(duration_s)
        if provider_s is not None and end in {_OK, _FAILED}:
            self._llm_duration[provider, operation].observe(provider_s)
            self.recent_llm.add(f"{provider} {operation}", provider_s, failed=end == _FAILED)

    def llm_costs(
        self,
        provider: str,
        model: str,
        tokens: Mapping[str, int],
        usd: float | None,
        unknown: Iterable[str] = (),
    ) -> None:
        """Count what a call cost: tokens by kind, dollars, and reasons why the dollars are unknown."""
        for kind, count in tokens.items():
            self._llm_tokens[provider, model, kind].inc(count)
        if usd is not None:
            self._llm_cost[provider, model].inc(usd)
        for reason in unknown:
            self._llm_unknown_cost[provider, reason].inc()

    def first_token(self, provider: str, seconds: float) -> None:
        self._first_token[provider].observe(seconds)

    def per_token(self, provider: str, seconds: float) -> None:
        self._per_token[provider].observe(seconds)

    def retry(self, provider: str) -> None:
        self._retries[provider].inc()

    def fallback(self, provider: str) -> None:
        self._fallbacks[provider].inc()

    def cache(self, provider: str, *, hit: bool) -> None:
        self._cache[provider, "hit" if hit else "miss"].inc()

    def hedge(self, provider: str, *, won: bool) -> None:
        self._hedges[provider, "won" if won else "lost"].inc()

    def limiter_wait(self, provider: str, seconds: float) -> None:
        self._limiter_wait[provider].observe(seconds)

    def limiter_refused(self, provider: str) -> None:
        self._limiter_refused[provider].inc()

    def shared(self, *, stream: bool) -> None:
        self._shared["true" if stream else "false"].inc()

    def breaker(self, provider: str, state: Callable[[], CircuitState]) -> None:
        self._breakers.watch(provider, state)
