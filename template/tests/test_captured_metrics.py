import pytest

from app.testing import CapturedMetrics


@pytest.fixture
def metrics() -> CapturedMetrics:
    metrics = CapturedMetrics()
    metrics.llm_costs("openai", "m-1", {"prompt": 3, "completion": 5}, usd=None)
    metrics.llm_costs("openai", "m-2", {"prompt": 10, "completion": 20}, usd=None)
    return metrics


def test_a_count_is_read_by_its_labels(metrics: CapturedMetrics) -> None:
    assert metrics.value("llm_tokens_total", provider="openai", model="m-1", kind="prompt") == 3


def test_labels_that_are_not_given_are_added_up(metrics: CapturedMetrics) -> None:
    assert metrics.value("llm_tokens_total", kind="completion") == 25
    assert metrics.value("llm_tokens_total") == 38


def test_a_histogram_is_read_by_its_count_and_sum(metrics: CapturedMetrics) -> None:
    metrics.first_token("openai", 2)
    metrics.first_token("anthropic", 3)
    assert metrics.value("llm_stream_first_token_seconds_count", provider="openai") == 1
    assert metrics.value("llm_stream_first_token_seconds_sum") == 5


def test_a_metric_without_samples_is_zero(metrics: CapturedMetrics) -> None:
    assert metrics.value("llm_tokens_total", provider="anthropic") == 0
    assert metrics.value("llm_retries_total", provider="openai") == 0


@pytest.mark.parametrize("name", ["llm_token_total", "llm_tokens_count", "llm_retries"])
def test_a_mistyped_name_is_an_error(metrics: CapturedMetrics, name: str) -> None:
    with pytest.raises(LookupError, match=name):
        metrics.value(name)


def test_a_mistyped_label_is_an_error(metrics: CapturedMetrics) -> None:
    with pytest.raises(LookupError, match="providr"):
        metrics.value("llm_tokens_total", providr="openai")
