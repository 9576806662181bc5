import asyncio
import traceback
from collections.abc import AsyncGenerator
from contextlib import aclosing
from contextvars import ContextVar

import pytest
from pydantic import TypeAdapter, ValidationError

from app.resilience.single_flight import SingleFlight

caller: ContextVar[str] = ContextVar("caller", default="none")


class AwayError(Exception):
    def __init__(self, message: str, *, text: str) -> None:
        super().__init__(message)
        self.text = text


class Upstream:
    """Calls that send one value per `go`, and know how many of them are open."""

    def __init__(self, length: int = 3, error: Exception | None = None) -> None:
        self.calls = 0
        self.open = 0
        self.contexts: list[str] = []
        self.may_close = asyncio.Event()
        self.may_close.set()
        self._length = length
        self._error = error
        self._steps = asyncio.Semaphore(0)

    async def __call__(self) -> AsyncGenerator[int, None]:
        self.calls += 1
        self.open += 1
        self.contexts.append(caller.get())
        try:
            for number in range(self._length):
                await self._steps.acquire()
                yield number
            if self._error is not None:
                raise self._error
        finally:
            await self.may_close.wait()
            self.open -= 1

    async def go(self, steps: int = 1) -> None:
        for _ in range(steps):
            self._steps.release()
            await turns()


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def listen(flights: SingleFlight[int], upstream: Upstream, heard: list[int]) -> list[int]:
    async with aclosing(flights.join("key", upstream)) as values:
        async for value in values:
            heard.append(value)  # noqa: PERF401 - to be seen while it grows
    return heard


class Bench:
    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.flights: SingleFlight[int] = SingleFlight()

    async def joins(self, heard: list[int] | None = None) -> asyncio.Task[list[int]]:
        heard = [] if heard is None else heard
        task = asyncio.create_task(listen(self.flights, self.upstream, heard))
        await turns()
        return task


@pytest.fixture
def bench() -> Bench:
    return Bench(Upstream())


async def leaves(task: asyncio.Task[list[int]]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_hundred_equal_calls_are_one(bench: Bench) -> None:
    listeners = [await bench.joins() for _ in range(100)]
    await bench.upstream.go(3)
    assert await asyncio.gather(*listeners) == [[0, 1, 2]] * 100
    assert bench.upstream.calls == 1


async def test_a_late_caller_gets_the_missed_values_and_then_new_ones_live(bench: Bench) -> None:
    first = await bench.joins()
    await bench.upstream.go(2)
    heard: list[int] = []
    late = await bench.joins(heard)
    assert heard == [0, 1]
    await bench.upstream.go()
    assert await late == await first == [0, 1, 2]


async def test_calls_with_another_key_are_separate(bench: Bench) -> None:
    await bench.joins()
    other = Upstream(length=0)
    assert [value async for value in bench.flights.join("other", other)] == []
    assert (bench.upstream.calls, other.calls) == (1, 1)


async def test_a_finished_call_is_forgotten(bench: Bench) -> None:
    for calls in [1, 2]:
        listener = await bench.joins()
        assert "key" in bench.flights
        await bench.upstream.go(3)
        await listener
        assert "key" not in bench.flights
        assert bench.upstream.calls == calls


@pytest.mark.parametrize("leaver", [0, 1], ids=["the first", "the second"])
async def test_a_cancelled_caller_does_not_disturb_the_others(bench: Bench, leaver: int) -> None:
    listeners = [await bench.joins(), await bench.joins()]
    await bench.upstream.go()
    await leaves(listeners.pop(leaver))
    await bench.upstream.go(2)
    assert await listeners[0] == [0, 1, 2]
    assert bench.upstream.calls == 1


async def test_the_call_is_cancelled_with_its_last_caller(bench: Bench) -> None:
    listeners = [await bench.joins(), await bench.joins()]
    await leaves(listeners[0])
    assert bench.upstream.open == 1
    await leaves(listeners[1])
    assert bench.upstream.open == 0


async def test_a_caller_during_the_end_of_an_abandoned_call_starts_a_new_one(bench: Bench) -> None:
    bench.upstream.may_close.clear()
    first = await bench.joins()
    first.cancel()
    await turns()
    second = await bench.joins()
    assert bench.upstream.calls == 2
    bench.upstream.may_close.set()
    await asyncio.wait([first])
    assert "key" in bench.flights
    await bench.upstream.go(3)
    assert await second == [0, 1, 2]


async def test_an_error_reaches_every_caller_and_is_not_remembered() -> None:
    error = AwayError("away", text="so far")
    bench = Bench(Upstream(length=1, error=error))
    heard: list[int] = []
    listeners = [await bench.joins(heard) for _ in range(3)]
    await bench.upstream.go()
    errors = await asyncio.gather(*listeners, return_exceptions=True)
    assert [(type(e), str(e), getattr(e, "text", "")) for e in errors] == [
        (AwayError, "away", "so far")
    ] * 3
    assert heard == [0, 0, 0]
    await bench.joins()
    assert bench.upstream.calls == 2


async def test_each_caller_has_a_traceback_of_its_own_that_leads_to_the_cause() -> None:
    bench = Bench(Upstream(length=1, error=AwayError("away", text="")))
    listeners = [await bench.joins() for _ in range(50)]
    await bench.upstream.go()
    errors = await asyncio.gather(*listeners, return_exceptions=True)
    frames = [
        [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        for error in errors
        if isinstance(error, AwayError)
    ]
    assert len({id(error) for error in errors}) == 50
    assert frames == [frames[0]] * 50
    assert frames[0][-1] == "__call__"


async def test_a_caller_that_tries_again_at_once_starts_a_new_call() -> None:
    bench = Bench(Upstream(length=0, error=AwayError("away", text="")))
    for _ in range(2):
        with pytest.raises(AwayError):
            await listen(bench.flights, bench.upstream, [])
    assert bench.upstream.calls == 2


async def test_the_call_runs_in_the_context_of_the_first(bench: Bench) -> None:
    for name in ["first", "second"]:
        caller.set(name)
        await bench.joins()
    assert bench.upstream.contexts == ["first"]


async def test_a_slow_caller_does_not_delay_the_others(bench: Bench) -> None:
    async with aclosing(bench.flights.join("key", bench.upstream)) as slow:
        reading = asyncio.ensure_future(anext(slow))
        quick = await bench.joins()
        await bench.upstream.go(3)
        assert await quick == [0, 1, 2]
        assert await reading == 0
        assert [value async for value in slow] == [1, 2]


async def test_a_caller_after_the_end_starts_a_new_call_while_another_still_reads(
    bench: Bench,
) -> None:
    async with aclosing(bench.flights.join("key", bench.upstream)) as slow:
        reading = asyncio.ensure_future(anext(slow))
        await turns()
        await bench.upstream.go(3)
        assert await reading == 0
        await bench.joins()
        assert bench.upstream.calls == 2


async def test_an_error_that_cannot_be_made_again_is_raised_itself() -> None:
    """Pydantic's has no constructor: the attempt to copy it must not hide it."""
    with pytest.raises(ValidationError) as made:
        TypeAdapter(int).validate_python("many")
    flights: SingleFlight[int] = SingleFlight()
    with pytest.raises(ValidationError):
        async with aclosing(flights.join("key", Upstream(0, made.value))) as values:
            await anext(values)


async def test_a_call_that_its_fastest_reader_does_not_read_waits() -> None:
    made = 0

    async def endless() -> AsyncGenerator[int, None]:
        nonlocal made
        while True:
            made += 1
            yield made
            await asyncio.sleep(0)

    flight: SingleFlight[int] = SingleFlight()
    async with aclosing(flight.join("a", endless)) as slow:
        await anext(slow)
        for _ in range(2_000):
            await asyncio.sleep(0)
        stopped_at = made
        assert stopped_at < 600
        async with aclosing(flight.join("a", endless)) as fast:
            assert [await anext(fast) for _ in range(1_500)] == list(range(1, 1_501))
        assert [await anext(slow) for _ in range(1_500)] == list(range(2, 1_502))
