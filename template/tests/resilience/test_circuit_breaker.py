from collections.abc import Callable

import pytest

from app.resilience.circuit_breaker import (
    BreakerPolicy,
    CircuitBreaker,
    CircuitState,
    OpenCircuitError,
    Permit,
)
from app.testing import FakeClock

POLICY = BreakerPolicy(failures=3, reset_s=30)


class Bench:
    def __init__(self, policy: BreakerPolicy = POLICY) -> None:
        self.clock = FakeClock()
        self.changes: list[tuple[CircuitState, str]] = []
        self.breaker = CircuitBreaker(
            policy,
            on_change=lambda state, why: self.changes.append((state, why)),
            clock=self.clock.monotonic,
        )

    def calls(self, outcomes: str) -> None:
        """One call per letter: `+` succeeds, `-` fails, `.` says nothing."""
        for outcome in outcomes:
            with self.breaker.enter() as permit:
                if outcome != ".":
                    (permit.succeeded if outcome == "+" else permit.failed)()

    def state(self) -> CircuitState:
        return self.breaker.state

    def probe(self) -> Permit:
        """Open the circuit, wait, and get the permit of the probe."""
        self.calls("---")
        self.clock.now += 30
        return self.breaker.enter()

    def admitted(self, callers: int) -> int:
        refused = 0
        for _ in range(callers):
            try:
                self.breaker.enter()
            except OpenCircuitError:
                refused += 1
        return callers - refused


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("outcomes", ["++++", "--+--+--", "--.+--"], ids=repr)
def test_a_circuit_stays_closed_while_calls_go_well(bench: Bench, outcomes: str) -> None:
    bench.calls(outcomes)
    assert bench.state() == "closed"
    assert bench.changes == []


@pytest.mark.parametrize("outcomes", ["---", "++---", "--.-"], ids=repr)
def test_failures_in_a_row_open_it(bench: Bench, outcomes: str) -> None:
    bench.calls(outcomes)
    assert bench.state() == "open"
    assert bench.changes == [("open", "3 failures in a row")]


def test_an_open_circuit_has_a_retry_after(bench: Bench) -> None:
    bench.calls("---")
    bench.clock.now += 12
    with pytest.raises(OpenCircuitError, match="18") as refusal:
        bench.breaker.enter()
    assert refusal.value.retry_after_s == 18


RATE = BreakerPolicy(failures=100, window_calls=10, window_s=60, failure_rate=0.5)


@pytest.mark.parametrize(
    ("outcomes", "state"),
    [
        ("+-+-+-+-+-", "closed"),
        ("-+-+-", "open"),
        ("+-+--", "open"),
        ("+---", "closed"),
        ("+++++-----", "closed"),
        ("+++++------", "open"),
        ("-----+", "open"),
        ("+" * 10 + "------", "open"),
    ],
    ids=[
        *("half", "more than half", "of five", "too few", "half after all", "slides", "all"),
        "of the last ten",
    ],
)
def test_a_failure_rate_opens_it(outcomes: str, state: CircuitState) -> None:
    bench = Bench(RATE)
    for outcome in outcomes:
        if bench.state() == "closed":
            bench.calls(outcome)
    assert bench.state() == state


def test_a_success_never_opens_the_circuit() -> None:
    bench = Bench(RATE)
    bench.calls("----+")
    assert bench.state() == "closed"
    bench.calls("-")
    assert bench.changes == [("open", "5 of 6 calls failed")]


def test_old_calls_do_not_count() -> None:
    bench = Bench(RATE)
    bench.calls("---+")
    bench.clock.now += 60
    bench.calls("-+-")
    assert bench.state() == "closed"


def test_a_rate_of_one_is_no_rule() -> None:
    bench = Bench(BreakerPolicy(failures=100, window_calls=10, failure_rate=1))
    bench.calls("-" * 99)
    assert bench.state() == "closed"
    bench.calls("-")
    assert bench.state() == "open"


def test_at_recovery_one_of_fifty_callers_is_the_probe(bench: Bench) -> None:
    bench.calls("---")
    bench.clock.now += 29.9
    assert bench.admitted(50) == 0
    bench.clock.now += 0.1
    assert bench.state() == "half_open"
    assert bench.admitted(50) == 1
    with pytest.raises(OpenCircuitError) as refusal:
        bench.breaker.enter()
    assert refusal.value.retry_after_s > 0


def test_a_probe_that_succeeds_closes_the_circuit(bench: Bench) -> None:
    bench.probe().succeeded()
    assert bench.changes == [
        ("open", "3 failures in a row"),
        ("half_open", "one call may try"),
        ("closed", "the probe was answered"),
    ]
    assert bench.admitted(50) == 50


def test_a_probe_that_fails_opens_it_again_for_the_whole_time(bench: Bench) -> None:
    bench.probe().failed()
    assert bench.changes[1:] == [
        ("half_open", "one call may try"),
        ("open", "the probe failed"),
    ]
    bench.clock.now += 29.9
    assert bench.admitted(50) == 0
    bench.clock.now += 0.1
    assert bench.admitted(50) == 1


def test_a_probe_without_a_verdict_returns_its_permit(bench: Bench) -> None:
    with bench.probe():
        assert bench.admitted(1) == 0
    assert bench.admitted(50) == 1


def test_the_first_byte_of_a_probe_closes_the_circuit_before_its_end(bench: Bench) -> None:
    with bench.probe() as probe:
        probe.responds()
        assert bench.state() == "closed"
        bench.calls("--")
        probe.failed()
    assert bench.state() == "open"


def test_the_first_byte_of_an_answer_is_not_counted_as_a_success(bench: Bench) -> None:
    for _ in range(3):
        with bench.breaker.enter() as permit:
            permit.responds()
            permit.failed()
    assert bench.state() == "open"


def test_a_closed_circuit_has_forgotten_its_failures(bench: Bench) -> None:
    bench.probe().succeeded()
    bench.calls("--")
    assert bench.state() == "closed"


@pytest.mark.parametrize("late", [Permit.succeeded, Permit.failed, Permit.responds])
def test_a_call_started_before_the_opening_is_not_counted(
    bench: Bench, late: Callable[[Permit], None]
) -> None:
    slow = bench.breaker.enter()
    bench.calls("---")
    late(slow)
    assert bench.state() == "open"
    bench.clock.now += 30
    with bench.breaker.enter():
        late(slow)
        assert bench.state() == "half_open"
        assert bench.admitted(1) == 0


@pytest.mark.parametrize("recoveries", [0, 1, 2])
def test_a_call_started_before_the_recovery_is_not_counted(bench: Bench, recoveries: int) -> None:
    for _ in range(recoveries):
        bench.probe().succeeded()
    slow = [bench.breaker.enter() for _ in range(3)]
    bench.probe().succeeded()
    for permit in slow:
        permit.failed()
    assert bench.state() == "closed"


def test_only_the_first_verdict_of_a_call_counts(bench: Bench) -> None:
    with bench.breaker.enter() as permit:
        for _ in range(3):
            permit.failed()
    assert bench.state() == "closed"
    permit.failed()
    bench.calls("-")
    assert bench.state() == "closed"
