"""The events of a play, as an open page of `make lab` gets them."""

from asyncio import Queue

from app.testing import FakeClock
from scripts.lab.live import bus
from scripts.lab.live.bus import Bus, Event


def received(page: Queue[Event | None]) -> list[Event | None]:
    return [page.get_nowait() for _ in range(page.qsize())]


def kinds(page: Queue[Event | None]) -> list[object]:
    return [event and event["kind"] for event in received(page)]


def test_a_late_page_gets_the_play_from_its_beginning_and_the_last_gauges() -> None:
    clock = FakeClock()
    events = Bus(clock.monotonic)
    events.begin({"play": "storm"})
    clock.now += 1.5
    events.publish({"kind": "request"})
    events.replace({"kind": "gauges", "value": 1})
    events.replace({"kind": "gauges", "value": 2})
    with events.open() as page:
        assert received(page) == [
            {"kind": "begin", "play": "storm", "at": 0},
            {"kind": "request", "at": 1.5},
            {"kind": "gauges", "value": 2, "at": 1.5},
        ]


def test_an_open_page_gets_each_new_event() -> None:
    events = Bus(FakeClock().monotonic)
    with events.open() as page:
        events.publish({"kind": "request"})
        assert kinds(page) == ["begin", "request"]


def test_a_new_play_forgets_the_last_one_and_starts_at_zero() -> None:
    clock = FakeClock()
    events = Bus(clock.monotonic)
    events.publish({"kind": "request"})
    events.replace({"kind": "gauges"})
    clock.now += 60
    events.begin({})
    with events.open() as page:
        assert kinds(page) == ["begin"]
    assert events.at == 0


def test_a_closed_page_leaves_nothing_behind() -> None:
    events = Bus(FakeClock().monotonic)
    with events.open() as page:
        assert events.pages == 1
    events.publish({"kind": "request"})
    assert events.pages == 0
    assert kinds(page) == ["begin"]


def test_a_page_that_does_not_read_is_closed() -> None:
    events = Bus(FakeClock().monotonic)
    with events.open() as page:
        for _ in range(bus._UNREAD + 10):
            events.publish({"kind": "request"})
        assert events.pages == 0
        assert kinds(page)[-1] is None
        assert page.qsize() == 0


def test_the_end_of_the_lab_ends_each_page() -> None:
    events = Bus(FakeClock().monotonic)
    with events.open() as one, events.open() as other:
        events.close()
        assert [kinds(one)[-1], kinds(other)[-1]] == [None, None]
