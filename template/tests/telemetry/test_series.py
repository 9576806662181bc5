import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from app.telemetry.series import Counted, Timed


def shown(series: Collector) -> list[str]:
    registry = CollectorRegistry()
    registry.register(series)
    return generate_latest(registry).decode().splitlines()


def test_what_nobody_counted_has_a_name_and_no_sample() -> None:
    assert shown(Counted("calls", "Calls.", ("who",))) == [
        "# HELP calls_total Calls.",
        "# TYPE calls_total counter",
    ]


def test_a_counter_adds_up_by_its_labels() -> None:
    calls = Counted("calls", "Calls.", ("who",))
    calls.add("a")
    calls.add("a", amount=1.5)
    calls.add("b")
    assert shown(calls)[2:] == ['calls_total{who="a"} 2.5', 'calls_total{who="b"} 1.0']


def test_a_gauge_goes_up_and_down_and_can_be_set() -> None:
    running = Counted("running", "Running.", ("who",), gauge=True)
    running.add("a", amount=3)
    running.add("a", amount=-1)
    running.set("b", value=7)
    assert shown(running)[1:] == [
        "# TYPE running gauge",
        'running{who="a"} 2.0',
        'running{who="b"} 7.0',
    ]


def test_a_bucket_counts_all_that_took_no_longer_than_its_bound() -> None:
    times = Timed("time_seconds", "Time.", ("who",), buckets_s=(0.1, 1))
    for seconds in (0.1, 0.25, 1, 2):
        times.add(seconds, "a")
    assert shown(times)[2:] == [
        'time_seconds_bucket{le="0.1",who="a"} 1.0',
        'time_seconds_bucket{le="1.0",who="a"} 3.0',
        'time_seconds_bucket{le="+Inf",who="a"} 4.0',
        'time_seconds_count{who="a"} 4.0',
        'time_seconds_sum{who="a"} 3.35',
    ]


@pytest.mark.parametrize(
    ("value", "escaped"),
    [('"', '\\"'), ("\n", "\\n"), ("\\", "\\\\")],
    ids=["quote", "line", "slash"],
)
def test_no_label_breaks_out_of_its_line(value: str, escaped: str) -> None:
    calls = Counted("calls", "Calls.", ("who",))
    calls.add(value)
    assert shown(calls)[2:] == [f'calls_total{{who="{escaped}"}} 1.0']


class Slow(float):
    """Gives way to other threads in the middle of an addition, as any number may."""

    def __radd__(self, other: float) -> float:
        time.sleep(0.001)
        return other + float(self)


def test_threads_lose_no_count() -> None:
    calls, times = Counted("c", "C.", ("who",)), Timed("t", "T.", ("who",), buckets_s=(1,))

    def count(_number: int) -> None:
        calls.add("a", amount=Slow(1))
        times.add(Slow(0.5), "a")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(count, range(20)))
    assert shown(calls)[-1] == 'c_total{who="a"} 20.0'
    assert shown(times)[-2:] == ['t_count{who="a"} 20.0', 't_sum{who="a"} 10.0']
