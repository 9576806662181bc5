from app.telemetry.metrics import Metrics


def text_of(metrics: Metrics) -> str:
    return metrics.exposition()[0].decode()


def test_a_method_that_nobody_knows_is_other() -> None:
    metrics = Metrics()
    metrics.http_request("BREW", "unmatched", 405, 0.001)
    assert 'method="OTHER"' in text_of(metrics)
    assert "BREW" not in text_of(metrics)


def test_instances_share_nothing() -> None:
    one, other = Metrics(), Metrics()
    one.llm_request("openai", "chat", "gpt-5-mini", "ok", 0.1)
    assert 'provider="openai"' in text_of(one)
    assert 'provider="openai"' not in text_of(other)


def test_tokens_are_counted_by_kind() -> None:
    metrics = Metrics()
    metrics.llm_tokens("openai", "gpt-5-mini", prompt=3, completion=5)
    assert 'llm_tokens_total{kind="prompt",model="gpt-5-mini",provider="openai"} 3.0' in text_of(
        metrics
    )
    assert (
        'llm_tokens_total{kind="completion",model="gpt-5-mini",provider="openai"} 5.0'
        in text_of(metrics)
    )


def test_the_process_itself_is_measured() -> None:
    assert "process_resident_memory_bytes" in text_of(Metrics())
