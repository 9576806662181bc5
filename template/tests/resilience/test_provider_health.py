import pytest

from app.resilience.circuit_breaker import CircuitState
from app.resilience.health import Health, HealthReport, ProbeTarget, any_reachable
from app.testing import FakeClock


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.state: CircuitState = "closed"
        self.health = Health(lambda: self.state, clock=self.clock.monotonic)

    def calls(self, outcomes: str) -> None:
        for outcome in outcomes:
            self.health.calls.add(ok=outcome == "+")

    @property
    def degraded(self) -> bool:
        return self.health.report().degraded


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_health_of_a_provider_without_calls_is_unknown(bench: Bench) -> None:
    report = bench.health.report()
    assert report == HealthReport("closed", success_rate=None, calls=0, probe_failed=False)
    assert not report.degraded
    assert bench.health.calls.idle_s() == float("inf")


def test_the_rate_is_that_of_the_last_five_minutes(bench: Bench) -> None:
    bench.calls("---")
    bench.clock.now += 200
    bench.calls("++-")
    assert (bench.health.report().success_rate, bench.health.report().calls) == (0.333, 6)
    bench.clock.now += 100
    assert (bench.health.report().success_rate, bench.health.report().calls) == (0.667, 3)
    bench.clock.now += 200
    assert bench.health.report().calls == 0


def test_a_thousand_calls_are_remembered_and_no_more(bench: Bench) -> None:
    bench.calls("-" * 500 + "+" * 1000)
    assert (bench.health.report().success_rate, bench.health.report().calls) == (1, 1000)


@pytest.mark.parametrize(
    ("outcomes", "degraded"),
    [("-" * 9, False), ("-" * 10, True), ("+-" * 5, False), ("+-" * 5 + "-", True)],
    ids=["too few", "enough", "half", "less than half"],
)
def test_a_provider_that_fails_most_calls_is_degraded(
    bench: Bench, outcomes: str, *, degraded: bool
) -> None:
    bench.calls(outcomes)
    assert bench.degraded is degraded


@pytest.mark.parametrize(
    ("state", "degraded"), [("closed", False), ("open", True), ("half_open", False)]
)
def test_a_provider_with_an_open_circuit_is_degraded(
    bench: Bench, state: CircuitState, *, degraded: bool
) -> None:
    bench.state = state
    assert bench.degraded is degraded
    assert bench.health.report().state == state


def test_a_call_after_a_failed_probe_clears_it_however_many_went_well_before(bench: Bench) -> None:
    bench.calls("++")
    bench.health.probed(ok=False)
    bench.calls("-")
    assert bench.health.report().probe_failed
    bench.calls("+")
    assert not bench.health.report().probe_failed


def test_a_failed_probe_is_degraded_until_something_goes_well(bench: Bench) -> None:
    bench.health.probed(ok=False)
    bench.calls("-")
    assert bench.degraded
    bench.calls("+")
    assert bench.health.report() == HealthReport("closed", 0.5, calls=2, probe_failed=False)
    bench.health.probed(ok=False)
    bench.health.probed(ok=True)
    assert not bench.degraded


def test_idle_is_the_time_since_the_last_call(bench: Bench) -> None:
    bench.calls("+")
    bench.clock.now += 3
    bench.calls("-")
    bench.clock.now += 7
    bench.health.probed(ok=True)
    assert bench.health.calls.idle_s() == 7


@pytest.mark.parametrize(
    ("errors", "is_reachable"),
    [
        ([None], True),
        ([ConnectionError()], False),
        ([ConnectionError(), ConnectionError()], False),
        ([ConnectionError(), None], True),
        ([ConnectionError(), PermissionError()], True),  # an answer, if only a refusal
    ],
)
async def test_a_provider_is_reachable_unless_all_of_them_cannot_be_reached(
    bench: Bench, errors: list[Exception | None], *, is_reachable: bool
) -> None:
    def target(error: Exception | None) -> ProbeTarget:
        async def ping() -> None:
            if error is not None:
                raise error

        return ProbeTarget(bench.health, ping)

    check = any_reachable([target(error) for error in errors], ConnectionError)
    assert await check() is is_reachable
