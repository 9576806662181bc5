"""The metrics of the service, for Prometheus.

Every label has a bounded set of values: a route is a template, a provider and a model are
configured names, an outcome is a class of the error tree. A label with values chosen by callers
would fill the memory of Prometheus.
"""

from collections.abc import Callable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from app.resilience.circuit_breaker import CircuitState
from app.telemetry import observed
from app.telemetry.recent import Recent
from app.telemetry.series import Labelled, StateOf, counter, gauge, histogram

Operation = Literal["chat", "embeddings"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
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

# Our own endpoints answer in milliseconds, models in seconds; single tokens take milliseconds.
_HTTP_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LLM_BUCKETS_S = (0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, 120)
_TOKEN_BUCKETS_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1)


def method_label(method: str) -> str:
    """The method of a request, or OTHER for a method that is not a standard one."""
    return method if method in _METHODS else "OTHER"


class Metrics:
    """One registry per instance: two services in one process do not share counts.

    `recent_http` and `recent_llm` hold the calls of the last minutes, for `/metrics/summary`.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry if registry is not None else CollectorRegistry()
        self.recent_http = Recent()
        self.recent_llm = Recent()
        ProcessCollector(registry=self.registry)
        self.registry.register(observed.DURATION.metric)
        self._measure_http()
        self._measure_clients()
        self._measure_llm()
        self._measure_streams()
        self._measure_guards()
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
        self._http_in_flight = 0  # it has no labels: an integer that Prometheus reads is enough
        Gauge(
            "http_requests_in_flight", "Requests being answered.", registry=self.registry
        ).set_function(lambda: self._http_in_flight)

        self._bytes_in_flight = Gauge(
            "http_bytes_in_flight",
            "Memory that requests hold, as estimated; MAX_BYTES_IN_FLIGHT bounds it.",
            registry=self.registry,
        )
        self._bytes_refused = self._counter(
            "http_bytes_refusals", "Requests refused because others hold MAX_BYTES_IN_FLIGHT.", ()
        )

    def _measure_clients(self) -> None:
        self._client_requests = self._counter(
            "client_requests", "Requests of each client, by status.", ("client", "status")
        )
        self._client_unauthorized = self._counter(
            "client_unauthorized",
            "Requests without a valid client key: missing, malformed, unknown, expired.",
            ("reason",),
        )
        self._client_limited = self._counter(
            "client_limited", "Requests refused by a limit of the client.", ("client", "limit")
        )
        self._client_tokens = self._counter(
            "client_tokens",
            "Tokens that each client used, estimated where the provider reported none.",
            ("client",),
        )
        self._client_cost = self._counter(
            "client_cost_usd",
            "US dollars that each client spent, as far as the prices are known.",
            ("client",),
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
            _LLM_BUCKETS_S,
        )
        self._llm_call_duration = self._histogram(
            "llm_call_duration_seconds",
            "Time from a call to its end: ok, cached, cancelled, refused, or failed.",
            ("provider", "operation", "end"),
            _LLM_BUCKETS_S,
        )
        self._llm_in_flight = self._gauge(
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
            _LLM_BUCKETS_S,
        )
        self._limiter_refused = self._counter(
            "llm_limiter_refusals", "Calls refused by our own limit.", ("provider",)
        )
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
            _LLM_BUCKETS_S,
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

    def _measure_tools(self) -> None:
        self._tool_calls = self._counter(
            "tool_calls", "Tool calls of models, by tool and outcome.", ("tool", "outcome")
        )
        self._tool_duration = self._histogram(
            "tool_call_duration_seconds", "Duration of tool calls.", ("tool",), _LLM_BUCKETS_S
        )
        self._tool_rounds = self._counter(
            "tool_rounds", "Rounds of tool calls: answers that call tools, and the results.", ()
        )
        self._tool_loops = self._counter(
            "tool_loops",
            "Requests with a tool loop, by their end: answered, a bound, failed or cancelled.",
            ("end",),
        )

    def http_started(self) -> None:
        self._http_in_flight += 1

    def http_request(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Count a finished request, for which `http_started` was called before."""
        method = method_label(method)
        failed = status >= _FIRST_SERVER_ERROR
        self._http_in_flight -= 1
        self._http_requests[method, route, str(status)].inc()
        self._http_duration[method, route].observe(duration_s)
        self.recent_http.add(f"{method} {route}", duration_s, failed=failed)

    def watch_bytes(self, in_flight: Callable[[], int]) -> None:
        self._bytes_in_flight.set_function(in_flight)

    def bytes_refused(self) -> None:
        self._bytes_refused[()].inc()

    def client_request(self, client: str, status: int) -> None:
        self._client_requests[client, str(status)].inc()

    def client_unauthorized(self, reason: str) -> None:
        self._client_unauthorized[reason].inc()

    def client_limited(self, client: str, limit: str) -> None:
        self._client_limited[client, limit].inc()

    def client_used(self, client: str, tokens: int, nanousd: int) -> None:
        if tokens:
            self._client_tokens[client].inc(tokens)
        if nanousd:
            self._client_cost[client].inc(nanousd / 1_000_000_000)

    def llm_started(self, provider: str) -> None:
        self._llm_in_flight[provider].inc()

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
        """Count a finished call, for which `llm_started` was called before.

        `provider_s` is the provider's part of the duration; `None` if the provider was not called.
        """
        end = _ENDS.get(outcome, _FAILED)
        self._llm_in_flight[provider].dec()
        self._llm_requests[provider, operation, model, outcome].inc()
        self._llm_call_duration[provider, operation, end].observe(duration_s)
        if provider_s is not None and end in {_OK, _FAILED}:
            self._llm_duration[provider, operation].observe(provider_s)
            self.recent_llm.add(f"{provider} {operation}", provider_s, failed=end == _FAILED)

    def llm_tokens(
        self, provider: str, model: str, *, prompt: int, completion: int, **parts: int
    ) -> None:
        """Count tokens by kind; `parts` are kinds that are part of the prompt or completion."""
        for kind, tokens in {"prompt": prompt, "completion": completion, **parts}.items():
            self._llm_tokens[provider, model, kind].inc(tokens)

    def llm_unknown_cost(self, provider: str, reason: str) -> None:
        self._llm_unknown_cost[provider, reason].inc()

    def llm_cost(self, provider: str, model: str, usd: float) -> None:
        self._llm_cost[provider, model].inc(usd)

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

    def queue(self, provider: str, waiting: Callable[[], int], load: Callable[[], float]) -> None:
        self._queue_waiting[provider].set_function(waiting)
        self._loads[provider] = load

    def queue_wait(self, provider: str, seconds: float) -> None:
        self._queue_wait[provider].observe(seconds)

    def shed(self, provider: str, reason: str) -> None:
        self._shed[provider, reason].inc()

    def overflow(self, provider: str) -> None:
        self._overflows[provider].inc()

    def shared(self, *, stream: bool) -> None:
        self._shared["true" if stream else "false"].inc()

    def tool_call(self, tool: str, outcome: str, duration_s: float) -> None:
        self._tool_calls[tool, outcome].inc()
        self._tool_duration[tool].observe(duration_s)

    def tool_loop(self, end: str, rounds: int) -> None:
        self._tool_loops[end].inc()
        self._tool_rounds[()].inc(rounds)

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

    def breaker(self, provider: str, state: Callable[[], CircuitState]) -> None:
        self._breakers.watch(provider, state)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Render the metrics in the scraper's preferred format; also return the media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type

    def _counter(self, name: str, what: str, labels: tuple[str, ...]) -> Labelled[Counter]:
        series = counter(name, what, labels)
        self.registry.register(series.metric)
        return series

    def _gauge(self, name: str, what: str, labels: tuple[str, ...]) -> Labelled[Gauge]:
        series = gauge(name, what, labels)
        self.registry.register(series.metric)
        return series

    def _histogram(
        self, name: str, what: str, labels: tuple[str, ...], buckets_s: tuple[float, ...]
    ) -> Labelled[Histogram]:
        series = histogram(name, what, labels, buckets_s=buckets_s)
        self.registry.register(series.metric)
        return series
