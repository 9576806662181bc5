"""The pledges of each incident hold, and a broken guard breaks those of its own incident only."""

from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from functools import cache, partial

import pytest

from scripts.lab.incident import load, names
from scripts.lab.play import play, verdicts
from tests.lab.faults import BROKEN

# A busy machine takes minutes for all plays of one guard; a timeout in a play would break a pledge.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NAMES = names()


def broken_pledges(name: str) -> list[str]:
    incident = load(name)
    found = verdicts(incident, play(incident))
    return [f"{each.pledge.measure}: {each.value}" for each in found if not each.is_kept]


@cache
def played(name: str) -> tuple[list[str], AbstractSet[str]]:
    """The broken pledges of an incident, and the guards of `BROKEN` that it calls."""
    called: set[str] = set()
    with ExitStack() as watched:
        for guard, fault in BROKEN.items():
            watched.enter_context(fault.watched(partial(called.add, guard)))
        return broken_pledges(name), called


@pytest.mark.parametrize("name", NAMES)
def test_the_pledges_of_an_incident_hold(name: str) -> None:
    assert played(name)[0] == []


@pytest.mark.parametrize("guard", BROKEN)
def test_a_broken_guard_breaks_the_pledges_of_its_incident_only(guard: str) -> None:
    """An incident that does not call the guard takes the same way without it: it is not played."""
    concerned = [name for name in NAMES if guard in played(name)[1]]
    with BROKEN[guard].instead():
        assert [name for name in concerned if broken_pledges(name)] == [guard]


def test_every_incident_has_a_guard_to_break() -> None:
    assert sorted(BROKEN) == NAMES
    assert len(NAMES) >= 10
