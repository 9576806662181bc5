"""One guard for all users of a Redis: an outage is found once, logged once, and asked about by one task."""

import asyncio
from collections.abc import AsyncIterator

import fakeredis
import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as NotThereError
from redis.exceptions import TimeoutError as NotInTimeError

from app.redis.client import SharedRedis
from app.telemetry.correlation import request_id
from app.testing import CapturedLogs
from tests.redis.stepped_clock import SteppedClock

GONE: list[type[Exception]] = [
    NotThereError,
    NotInTimeError,
    AuthenticationError,
    BusyLoadingError,
    OSError,
]
REFUSED: list[type[Exception]] = [OutOfMemoryError, ReadOnlyError, NoPermissionError, ResponseError]


class Flaky:
    """A Redis that raises at writes, or at all commands, while `failure` is set."""

    def __init__(self, clock: SteppedClock) -> None:
        self.server = fakeredis.FakeAsyncRedis()
        self.redis = SharedRedis(self.server, clock=clock.monotonic, sleep=clock.sleep)
        self.failure: Exception | None = None
        self.asked = 0
        self.probes = 0
        self.wrote = 0
        self._set = self.server.set
        self.server.set = self._probed  # type: ignore[method-assign, assignment]

    async def _probed(self, *args: object, **more: object) -> object:
        self.probes += 1
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return await self._set(*args, **more)  # type: ignore[arg-type]

    async def write(self) -> str:
        async def ask() -> str:
            self.asked += 1
            if self.failure is not None:
                raise self.failure
            self.wrote += 1
            return "written"

        return await self.redis.write(ask, otherwise="skipped")

    async def read(self) -> str:
        async def ask() -> str:
            if self.failure is not None and not isinstance(self.failure, ResponseError):
                raise self.failure
            return "read"

        return await self.redis.read(ask, otherwise="skipped")


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def flaky(clock: SteppedClock) -> AsyncIterator[Flaky]:
    flaky = Flaky(clock)
    yield flaky
    await flaky.redis.aclose()
    await flaky.server.aclose()


def events(logs: CapturedLogs) -> list[str]:
    return [line["event"] for line in logs.lines if line["level"] != "debug"]


@pytest.mark.parametrize("failure", GONE + REFUSED, ids=lambda failure: failure.__name__)
async def test_during_an_outage_calls_are_skipped_and_one_task_probes_every_second(
    failure: type[Exception], flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    flaky.failure = failure("no")
    for _ in range(100):
        assert await flaky.write() == "skipped"
        await clock.advance(0.1)
    assert flaky.asked == 1
    assert 9 <= flaky.probes <= 10
    assert events(logs) == ["redis.unavailable"]


@pytest.mark.parametrize("failure", GONE + REFUSED, ids=lambda failure: failure.__name__)
async def test_a_redis_that_has_worked_for_three_seconds_is_used_again(
    failure: type[Exception], flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    flaky.failure = failure("no")
    await flaky.write()
    flaky.failure = None
    await clock.advance(2.9)
    assert await flaky.write() == "skipped"
    assert not await flaky.redis.check()
    await clock.advance(0.1)
    assert await flaky.write() == "written"
    assert await flaky.read() == "read"
    assert await flaky.redis.check()
    assert events(logs) == ["redis.unavailable", "redis.recovered"]
    assert logs.events("redis.recovered")[0]["lasted_s"] == 3


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (OutOfMemoryError, "full"),
        (ReadOnlyError, "read-only"),
        (BusyLoadingError, "loading"),
        (AuthenticationError, "credentials refused"),
        (NoPermissionError, "not permitted"),
        (ResponseError, "command refused"),
        (NotInTimeError, "no answer in time"),
        (TimeoutError, "no answer in time"),
        (NotThereError, "no connection"),
        (ConnectionResetError, "no connection"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
async def test_the_line_of_an_outage_has_its_reason(
    failure: type[Exception], reason: str, flaky: Flaky, logs: CapturedLogs
) -> None:
    flaky.failure = failure("no")
    await flaky.write()
    assert logs.events("redis.unavailable")[0]["reason"] == reason


@pytest.mark.parametrize("failure", REFUSED, ids=lambda failure: failure.__name__)
async def test_a_redis_that_refuses_writes_is_read_and_stays_degraded(
    failure: type[Exception], flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    flaky.failure = failure("no")
    for _ in range(24):
        assert await flaky.write() == "skipped"
        assert await flaky.read() == "read"
        assert not await flaky.redis.check()
        await clock.advance(0.5)
    assert events(logs) == ["redis.unavailable"]


async def test_a_redis_at_the_edge_of_its_memory_is_one_outage(
    flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    """Keys expire, so that every other two writes are taken."""
    for number in range(60):
        flaky.failure = None if number % 4 < 2 else OutOfMemoryError("no")
        await flaky.write()
        await clock.advance(0.9)
    assert events(logs) == ["redis.unavailable"]


async def test_a_redis_that_comes_and_goes_costs_ever_fewer_calls_and_lines(
    flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    """Five seconds on, five seconds off, for five minutes."""
    failed = 0
    for second in range(300):
        flaky.failure = NotThereError("no") if second % 10 >= 5 else None
        before = flaky.asked, flaky.wrote
        await flaky.write()
        failed += flaky.asked - before[0] - (flaky.wrote - before[1])
        await clock.advance(1)
    assert failed == len(logs.events("redis.unavailable")) <= 2
    assert len(logs.events("redis.recovered")) <= 1


async def test_an_outage_long_after_the_last_one_ends_as_fast_as_the_first(
    flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    for pause_s in (10, 100, 10):  # between the outages: the second one is a relapse
        flaky.failure = NotThereError("no")
        await flaky.write()
        flaky.failure = None
        await clock.advance(pause_s)
    lasted = [line["lasted_s"] for line in logs.events("redis.recovered")]
    assert lasted == [3, 6, 3]


async def test_a_connection_that_is_lost_while_writes_are_refused_ends_reading(
    flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    flaky.failure = OutOfMemoryError("no")
    await flaky.write()
    flaky.failure = NotThereError("no")
    assert [await flaky.read() for _ in range(2)] == ["skipped", "skipped"]
    await clock.advance(2)
    flaky.failure = None
    await clock.advance(4)
    assert await flaky.read() == "read"
    assert events(logs) == ["redis.unavailable", "redis.recovered"]


async def test_a_check_finds_an_outage_and_then_asks_no_more(
    flaky: Flaky, logs: CapturedLogs
) -> None:
    flaky.failure = ReadOnlyError("no")
    assert [await flaky.redis.check() for _ in range(5)] == [False] * 5
    assert flaky.probes == 1
    assert events(logs) == ["redis.unavailable"]


async def test_checks_at_the_same_time_ask_once(flaky: Flaky) -> None:
    assert await asyncio.gather(*(flaky.redis.check() for _ in range(5))) == [True] * 5
    assert flaky.probes == 1


async def test_the_end_of_an_outage_does_not_belong_to_the_request_that_found_it(
    flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    flaky.failure = NotThereError("no")
    token = request_id.set("the-first")
    await flaky.write()
    request_id.reset(token)
    flaky.failure = None
    await clock.advance(3)
    assert logs.events("redis.unavailable")[0]["request_id"] == "the-first"
    assert "request_id" not in logs.events("redis.recovered")[0]


async def test_an_unexpected_error_of_a_probe_does_not_end_the_probing(
    flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    flaky.failure = NotThereError("no")
    await flaky.write()
    flaky.failure = ZeroDivisionError("no")
    await clock.advance(2)
    flaky.failure = None
    await clock.advance(3)
    assert await flaky.write() == "written"
    assert events(logs) == ["redis.unavailable", "redis.recovered"]


async def test_closing_ends_the_probing(flaky: Flaky, clock: SteppedClock) -> None:
    flaky.failure = NotThereError("no")
    await flaky.write()
    await flaky.redis.aclose()
    await clock.advance(10)
    assert flaky.probes == 0


async def test_an_answer_to_a_call_from_before_a_failure_does_not_end_the_outage(
    flaky: Flaky, clock: SteppedClock, logs: CapturedLogs
) -> None:
    may_answer = asyncio.Event()

    async def slow() -> str:
        await may_answer.wait()
        return "answer"

    asked_before = asyncio.create_task(flaky.redis.write(slow, otherwise="skipped"))
    await asyncio.sleep(0)
    await clock.advance(0.1)
    flaky.failure = NotThereError("no")
    await flaky.write()
    may_answer.set()
    assert await asked_before == "answer"
    assert await flaky.write() == "skipped"
    assert events(logs) == ["redis.unavailable"]
