from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from app.telemetry.series import Counted, Measured, Timed


def shown(series: Collector) -> list[str]:
    registry = CollectorRegistry()
    registry.register(series)
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line and not line.startswith("#")]


def test_a_counter_adds_up_by_its_labels() -> None:
    calls = Counted("calls", "Calls.", ("who",))
    calls.add("a")
    calls.add("a", amount=1.5)
    calls.add("b")
    assert shown(calls) == ['calls_total{who="a"} 2.5', 'calls_total{who="b"} 1.0']


def test_a_gauge_goes_up_and_down_and_can_be_set() -> None:
    running = Measured("running", "Running.", ("who",))
    running.add("a", amount=3)
    running.add("a", amount=-1)
    running.set("b", value=7)
    assert shown(running) == ['running{who="a"} 2.0', 'running{who="b"} 7.0']


def test_a_bucket_counts_all_that_took_no_longer_than_its_bound() -> None:
    times = Timed("time_seconds", "Time.", ("who",), buckets_s=(0.1, 1))
    for seconds in (0.1, 0.25, 1, 2):
        times.add(seconds, "a")
    assert shown(times) == [
        'time_seconds_bucket{le="0.1",who="a"} 1.0',
        'time_seconds_bucket{le="1.0",who="a"} 3.0',
        'time_seconds_bucket{le="+Inf",who="a"} 4.0',
        'time_seconds_count{who="a"} 4.0',
        'time_seconds_sum{who="a"} 3.35',
    ]
