"""Random histories: for any results of calls and any order of their ends, no permit is lost."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from app.resilience.circuit_breaker import BreakerPolicy, CircuitBreaker, OpenCircuitError, Permit
from app.testing import FakeClock

POLICY = BreakerPolicy(failures=2, reset_s=10, failure_rate=1)

# The event, and the index of the running call.
STEPS = st.tuples(
    st.sampled_from(["enter", "succeed", "fail", "respond", "leave", "wait"]),
    st.integers(min_value=0, max_value=9),
)


@dataclass
class Model:
    """The rules of the pattern, written down as plainly as possible."""

    in_a_row: int = 0
    open_for_s: float | None = None
    probe: int | None = None
    counted: set[int] = field(default_factory=set)  # the calls that the breaker counts

    def enters(self, call: int) -> bool:
        if self.open_for_s is None:
            self.counted.add(call)
            return True
        if self.open_for_s > 0 or self.probe is not None:
            return False
        self.probe = call
        return True

    def succeeds(self, call: int) -> None:
        if call == self.probe:
            self.closes()
        elif call in self.counted:
            self.in_a_row = 0

    def fails(self, call: int) -> None:
        self.in_a_row += call in self.counted
        if call == self.probe or (call in self.counted and self.in_a_row == POLICY.failures):
            self.counted, self.probe, self.open_for_s = set(), None, POLICY.reset_s

    def responds(self, call: int) -> None:
        if call == self.probe:
            self.closes()
            self.counted = {call}

    def leaves(self, call: int) -> None:
        self.probe = None if call == self.probe else self.probe
        self.counted -= {call}

    def closes(self) -> None:
        self.in_a_row, self.open_for_s, self.probe, self.counted = 0, None, None, set()

    def waits(self, seconds: float) -> None:
        if self.open_for_s is not None:
            self.open_for_s -= seconds

    @property
    def state(self) -> str:
        if self.open_for_s is None:
            return "closed"
        return "open" if self.open_for_s > 0 else "half_open"


class History:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.breaker = CircuitBreaker(POLICY, clock=self.clock.monotonic)
        self.model = Model()
        self.running: dict[int, Permit] = {}
        self.calls = 0

    def step(self, what: str, which: int) -> None:
        if what == "wait":
            self.clock.now += which
            self.model.waits(which)
        elif what == "enter":
            self.enter()
        elif self.running:
            self.goes_on(what, [*self.running][which % len(self.running)])
        assert self.breaker.state == self.model.state

    def enter(self) -> None:
        self.calls += 1
        try:
            self.running[self.calls] = self.breaker.enter()
        except OpenCircuitError:
            assert not self.model.enters(self.calls)
        else:
            assert self.model.enters(self.calls)

    def goes_on(self, what: str, call: int) -> None:
        permit = self.running[call]
        if what == "respond":
            permit.responds()
            self.model.responds(call)
            return
        with permit:
            if what == "succeed":
                permit.succeeded()
                self.model.succeeds(call)
            elif what == "fail":
                permit.failed()
                self.model.fails(call)
        self.model.leaves(call)
        del self.running[call]


@settings(max_examples=200)
@given(st.lists(STEPS, max_size=60))
def test_any_history_follows_the_rules(script: list[tuple[str, int]]) -> None:
    history = History()
    for what, which in script:
        history.step(what, which)


@settings(max_examples=100)
@given(st.lists(STEPS, max_size=40))
def test_after_any_history_a_call_passes_in_the_end(script: list[tuple[str, int]]) -> None:
    history = History()
    for what, which in script:
        history.step(what, which)
    for call in [*history.running]:
        history.goes_on("leave", call)
    history.clock.now += POLICY.reset_s
    with history.breaker.enter() as permit:
        permit.succeeded()
    assert history.breaker.state == "closed"
