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
        """Open the circuit, wait, and get the permit to find out."""
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


def test_an_open_circuit_says_when_to_ask_again(bench: Bench) -> None:
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


def test_it_is_no_success_that_opens_it() -> None:
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


def test_of_fifty_callers_at_recovery_one_finds_out(bench: Bench) -> None:
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
        ("half_open", "one call may find out"),
        ("closed", "the call that was to find out was answered"),
    ]
    assert bench.admitted(50) == 50


def test_a_probe_that_fails_opens_it_again_for_the_whole_time(bench: Bench) -> None:
    bench.probe().failed()
    assert bench.changes[1:] == [
        ("half_open", "one call may find out"),
        ("open", "the call that was to find out failed"),
    ]
    bench.clock.now += 29.9
    assert bench.admitted(50) == 0
    bench.clock.now += 0.1
    assert bench.admitted(50) == 1


def test_a_probe_that_says_nothing_gives_its_permit_back(bench: Bench) -> None:
    with bench.probe():
        assert bench.admitted(1) == 0
    assert bench.admitted(50) == 1


def test_a_probe_whose_answer_has_begun_closes_the_circuit_and_may_still_fail(bench: Bench) -> None:
    with bench.probe() as probe:
        probe.responds()
        assert bench.state() == "closed"
        bench.calls("--")
        probe.failed()
    assert bench.state() == "open"


def test_an_answer_that_has_begun_is_no_verdict(bench: Bench) -> None:
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
def test_a_call_from_before_the_opening_decides_nothing(
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
def test_a_call_from_before_the_recovery_is_not_counted(bench: Bench, recoveries: int) -> None:
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
