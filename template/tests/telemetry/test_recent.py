import pytest

from app.telemetry.recent import Recent
from app.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recent(clock: FakeClock) -> Recent:
    return Recent(300, clock=clock.monotonic)


def test_calls_are_counted_and_measured(recent: Recent) -> None:
    for milliseconds in range(1, 101):
        recent.add("POST /v1/chat", milliseconds / 1000, failed=milliseconds > 95)
    found = recent.statistics()["POST /v1/chat"]
    assert (found.count, found.errors, found.error_rate) == (100, 5, 0.05)
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == pytest.approx([50, 95, 99], rel=0.01)


def test_names_are_apart_and_in_order(recent: Recent) -> None:
    recent.add("b", 1, failed=True)
    recent.add("a", 2, failed=False)
    found = recent.statistics()
    assert [(name, found[name].errors) for name in found] == [("a", 0), ("b", 1)]


def test_the_window_slides(recent: Recent, clock: FakeClock) -> None:
    recent.add("a", 1, failed=True)
    clock.now += 200
    recent.add("a", 3, failed=False)
    assert recent.statistics()["a"].count == 2
    clock.now += 120
    assert (recent.statistics()["a"].count, recent.statistics()["a"].errors) == (1, 0)
    clock.now += 300
    assert recent.statistics() == {}


def test_nothing_is_forgotten_before_its_time(recent: Recent, clock: FakeClock) -> None:
    for _ in range(29):
        recent.add("a", 1, failed=False)
        clock.now += 10
    assert recent.statistics()["a"].count == 29


def test_an_old_slice_is_not_mistaken_for_a_new_one(recent: Recent, clock: FakeClock) -> None:
    recent.add("a", 1, failed=True)
    clock.now += 300 * 7  # the same place in the ring
    recent.add("a", 1, failed=False)
    assert recent.statistics()["a"].errors == 0
