from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from app.telemetry.series import counter, gauge, histogram


def shown(series: Collector) -> list[str]:
    registry = CollectorRegistry()
    registry.register(series)
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line and not line.startswith("#")]


def test_a_counter_adds_up_by_its_labels() -> None:
    calls = counter("calls", "Calls.", ("user",))
    calls["a"].inc()
    calls["a"].inc(1.5)
    calls["b"].inc()
    assert shown(calls.metric) == ['calls_total{user="a"} 2.5', 'calls_total{user="b"} 1.0']


def test_a_metric_may_have_no_labels() -> None:
    jobs, running = counter("jobs", "Jobs.", ()), gauge("running", "Running.", ())
    times = histogram("time_seconds", "Time.", (), buckets_s=(1,))
    jobs[()].inc()
    jobs[()].inc(2)
    running[()].set(7)
    times[()].observe(0.5)
    assert shown(jobs.metric) == ["jobs_total 3.0"]
    assert shown(running.metric) == ["running 7.0"]
    assert "time_seconds_sum 0.5" in shown(times.metric)


def test_a_gauge_goes_up_and_down_and_can_be_set() -> None:
    running = gauge("running", "Running.", ("user",))
    running["a"].inc(3)
    running["a"].dec()
    running["b"].set(7)
    assert shown(running.metric) == ['running{user="a"} 2.0', 'running{user="b"} 7.0']


def test_a_bucket_counts_all_that_took_no_longer_than_its_bound() -> None:
    times = histogram("time_seconds", "Time.", ("user",), buckets_s=(0.1, 1))
    for seconds in (0.1, 0.25, 1, 2):
        times["a"].observe(seconds)
    assert shown(times.metric) == [
        'time_seconds_bucket{le="0.1",user="a"} 1.0',
        'time_seconds_bucket{le="1.0",user="a"} 3.0',
        'time_seconds_bucket{le="+Inf",user="a"} 4.0',
        'time_seconds_count{user="a"} 4.0',
        'time_seconds_sum{user="a"} 3.35',
    ]
