from collections.abc import Callable

import pytest

from app.resilience.circuit_breaker import CircuitState
from app.telemetry.metrics import Metrics
from app.testing import CapturedMetrics


def text_of(metrics: Metrics) -> str:
    return metrics.exposition()[0].decode()


def test_an_unknown_method_is_counted_as_other() -> None:
    metrics = Metrics()
    metrics.http_request("BREW", "unmatched", 405, 0.001)
    assert 'method="OTHER"' in text_of(metrics)
    assert "BREW" not in text_of(metrics)


def test_two_instances_of_metrics_count_separately() -> None:
    one, other = Metrics(), Metrics()
    one.llm_request("openai", "chat", "gpt-5-mini", "ok", 0.1, provider_s=0.1)
    assert 'provider="openai"' in text_of(one)
    assert 'provider="openai"' not in text_of(other)


def test_tokens_are_counted_by_kind() -> None:
    metrics = Metrics()
    metrics.llm_costs("openai", "m", {"prompt": 3, "completion": 5, "reasoning": 4}, usd=None)
    assert 'llm_tokens_total{kind="reasoning",model="m",provider="openai"} 4.0' in text_of(metrics)
    assert 'llm_tokens_total{kind="prompt",model="m",provider="openai"} 3.0' in text_of(metrics)
    assert 'llm_tokens_total{kind="completion",model="m",provider="openai"} 5.0' in text_of(metrics)


def test_the_process_itself_is_measured() -> None:
    assert "process_resident_memory_bytes" in text_of(Metrics())


@pytest.mark.parametrize(
    ("report", "series"),
    [
        (lambda m: m.retry("p"), 'llm_retries_total{provider="p"} 1.0'),
        (lambda m: m.fallback("p"), 'llm_fallbacks_total{provider="p"} 1.0'),
        (
            lambda m: m.cache("p", hit=True),
            'llm_cache_lookups_total{provider="p",result="hit"} 1.0',
        ),
        (
            lambda m: m.cache("p", hit=False),
            'llm_cache_lookups_total{provider="p",result="miss"} 1.0',
        ),
        (lambda m: m.hedge("p", won=True), 'llm_hedges_total{provider="p",result="won"} 1.0'),
        (lambda m: m.hedge("p", won=False), 'llm_hedges_total{provider="p",result="lost"} 1.0'),
        (
            lambda m: m.limiter_wait("p", 1.5),
            'llm_limiter_wait_seconds_bucket{le="2.0",provider="p"} 1.0',
        ),
        (lambda m: m.limiter_refused("p"), 'llm_limiter_refusals_total{provider="p"} 1.0'),
    ],
    ids=["retry", "fallback", "hit", "miss", "hedge won", "hedge lost", "wait", "refusal"],
)
def test_the_actions_of_each_guard_are_counted(
    report: Callable[[Metrics], None], series: str
) -> None:
    metrics = Metrics()
    assert series not in text_of(metrics)
    report(metrics)
    assert series in text_of(metrics)


@pytest.mark.parametrize("state", ["closed", "half_open", "open"])
def test_a_breaker_is_in_one_state(state: CircuitState) -> None:
    metrics = CapturedMetrics()
    metrics.breaker("p", lambda: state)
    states = {
        name: metrics.value("llm_breaker_state", provider="p", state=name)
        for name in ("closed", "half_open", "open")
    }
    assert {name for name, value in states.items() if value == 1} == {state}
    assert {name for name, value in states.items() if value == 0} == states.keys() - {state}


def test_requests_that_run_are_counted() -> None:
    metrics = Metrics()
    metrics.http_in_flight += 2
    metrics.http_in_flight -= 1
    assert "http_requests_in_flight 1.0" in text_of(metrics)


def test_the_last_minutes_are_kept_by_method_and_route() -> None:
    metrics = Metrics()
    for status in (200, 404, 499, 500, 503):
        metrics.http_request("GET", "/x", status, 0.1)
    found = metrics.recent_http.statistics()["GET /x"]
    assert (found.count, found.errors) == (5, 2)


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        ("ok", "ok"),
        ("cached", "cached"),
        ("cancelled", "cancelled"),
        ("LimitReachedError", "refused"),
        ("CircuitOpenError", "refused"),
        ("OverloadedError", "refused"),
        ("UnsupportedRequestError", "refused"),
        ("ProviderTimeoutError", "failed"),
        ("RateLimitError", "failed"),
    ],
)
def test_only_answered_and_failed_calls_count_as_the_providers_time(outcome: str, end: str) -> None:
    metrics = CapturedMetrics()
    metrics.llm_request("p", "chat", "m", outcome, 7.0, provider_s=2.0)
    is_its_own = end in {"ok", "failed"}
    assert metrics.value("llm_request_duration_seconds_sum") == (2 if is_its_own else 0)
    assert metrics.value("llm_request_duration_seconds_count") == is_its_own
    assert metrics.value("llm_call_duration_seconds_sum", end=end) == 7
    assert ("p chat" in metrics.recent_llm.statistics()) is is_its_own


def test_a_call_that_reached_no_provider_is_not_in_its_time() -> None:
    metrics = CapturedMetrics()
    metrics.llm_request("p", "chat", "m", "ProviderTimeoutError", 7.0, provider_s=None)
    assert metrics.value("llm_request_duration_seconds_count") == 0
    assert metrics.recent_llm.statistics() == {}
