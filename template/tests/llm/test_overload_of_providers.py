"""Whether a call would be refused, asked before its request is read."""

from collections.abc import Mapping

import pytest

from app.llm.overload import Lookups, Overload
from app.llm.pools import Gate
from app.resilience.bulkhead import Bulkhead, QueuePolicy
from app.resilience.circuit_breaker import CircuitState
from app.resilience.health import Health
from app.testing import FakeClock

NO_QUEUE = QueuePolicy(length=0)


async def overload(full: str, circuits: Mapping[str, CircuitState] | None = None) -> Overload:
    """Two providers with one place each. Those in `full` have neither a place nor a queue."""
    states: dict[str, CircuitState] = {"a": "closed", "b": "closed", **(circuits or {})}
    bulkheads = {name: Bulkhead(1, NO_QUEUE) for name in states}
    for name in full:
        await bulkheads[name].take()
    overload = Overload()
    overload.watch(
        {name: Gate(name, bulkhead) for name, bulkhead in bulkheads.items()},
        {name: Health(lambda name=name: states[name]) for name in states},  # type: ignore[misc]
    )
    return overload


@pytest.mark.parametrize(
    ("full", "circuits", "expected"),
    [
        pytest.param("", {}, False, id="none is full"),
        pytest.param("a", {}, False, id="the second is free"),
        pytest.param("b", {}, False, id="the first is free"),
        pytest.param("ab", {}, True, id="both are full"),
        pytest.param("b", {"a": "open"}, True, id="the free one is down"),
        pytest.param("b", {"a": "half_open"}, False, id="the free one may be tried"),
        pytest.param("ab", {"a": "open", "b": "open"}, False, id="both are down"),
    ],
)
async def test_a_call_is_refused_if_no_provider_that_is_up_has_a_place(
    full: str, circuits: Mapping[str, CircuitState], *, expected: bool
) -> None:
    asked = await overload(full, circuits)
    assert asked.refuses("client") is expected
    assert asked.refuses_unnamed("client") is expected


async def test_a_refusal_is_that_of_the_first_provider_that_is_up() -> None:
    assert (await overload("ab")).refusal().provider == "a"
    assert (await overload("ab", {"a": "open"})).refusal().provider == "b"


async def test_a_provider_without_limits_refuses_no_call() -> None:
    asked = Overload()
    asked.watch({}, {"a": Health(lambda: "closed")})
    assert not asked.refuses("client")
    assert not asked.refuses_unnamed("client")


def test_lookups_are_a_burst_and_then_a_rate() -> None:
    clock = FakeClock()
    lookups = Lookups(10, clock=clock.monotonic)
    assert [lookups.take() for _ in range(7)] == [True] * 5 + [False] * 2
    clock.now += 0.21
    assert [lookups.take() for _ in range(3)] == [True, True, False]
    clock.now += 3600
    assert [lookups.take() for _ in range(7)] == [True] * 5 + [False] * 2


def test_a_lookup_that_found_an_answer_is_free() -> None:
    lookups = Lookups(10, clock=FakeClock().monotonic)
    for _ in range(100):
        assert lookups.take()
        lookups.give_back()
    assert [lookups.take() for _ in range(6)] == [True] * 5 + [False]


def test_without_a_cache_there_are_no_lookups() -> None:
    assert not Lookups(0).take()
