"""What one process finds out about a provider saves the others most of the failures."""

import asyncio

import pytest

from app.errors import LLMError, ProviderUnavailableError, RequestRefusedError
from app.llm.guards.circuit_breaking import CircuitBreaking
from app.llm.guards.guard import stacked
from app.resilience.circuit_breaker import BreakerPolicy
from app.testing import CapturedLogs, FakeChatModel, FakeClock, Turn
from tests.llm.samples import REQUEST

BUSY = ProviderUnavailableError("busy", status=503)


class Note:
    """A `SharedCircuit` that is read and written at the time of a test."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.ends = 0.0
        self.told = 0

    async def opened(self, for_s: float) -> None:
        self.ends = self.clock.now + for_s
        self.told += 1

    async def remote_open_s(self) -> float:
        await asyncio.sleep(0)
        return max(self.ends - self.clock.now, 0)


class Process:
    def __init__(self, note: Note, *turns: Turn) -> None:
        self.model = FakeChatModel(*turns)
        policy = BreakerPolicy(failures=3, reset_s=30)
        self.guard = CircuitBreaking(policy, shared=note, clock=note.clock.monotonic)
        self.guarded = stacked(self.model, [self.guard])

    async def asks(self) -> str:
        """The answer, or the name of the error."""
        try:
            return (await self.guarded.complete(REQUEST)).content
        except LLMError as error:
            return type(error).__name__

    @property
    def state(self) -> str:
        return self.guard.health.report().state


@pytest.fixture
def note() -> Note:
    return Note(FakeClock())


@pytest.fixture
async def _open_elsewhere(note: Note) -> None:
    """For ten seconds already, by a process that needed three failures."""
    elsewhere = Process(note, BUSY)
    assert [await elsewhere.asks() for _ in range(3)] == ["ProviderUnavailableError"] * 3
    assert note.told == 1
    note.clock.now += 10


elsewhere_open = pytest.mark.usefixtures("_open_elsewhere")


@elsewhere_open
async def test_where_another_process_found_out_one_failure_is_enough(
    note: Note, logs: CapturedLogs
) -> None:
    process = Process(note, BUSY)
    assert await process.asks() == "ProviderUnavailableError"
    assert await process.asks() == "CircuitOpenError"
    (line,) = logs.events("llm.circuit")[1:]
    assert (line["state"], line["why"]) == ("open", "another process has opened its circuit")


@elsewhere_open
async def test_it_lasts_as_long_as_there_and_then_one_call_finds_out(note: Note) -> None:
    process = Process(note, BUSY, "Hello!")
    await process.asks()
    note.clock.now += 19.9
    assert await process.asks() == "CircuitOpenError"
    note.clock.now += 0.1
    assert await process.asks() == "Hello!"
    assert process.state == "closed"


@elsewhere_open
async def test_a_process_that_reaches_the_provider_ignores_an_open_circuit_elsewhere(
    note: Note,
) -> None:
    process = Process(note, "Hello!", RequestRefusedError("too long"), "Hello!")
    answers = [await process.asks() for _ in range(3)]
    assert answers == ["Hello!", "RequestRefusedError", "Hello!"]


@elsewhere_open
async def test_what_was_heard_is_not_told_again(note: Note, logs: CapturedLogs) -> None:
    may_answer = asyncio.Event()
    process = Process(note, [may_answer.wait, BUSY], BUSY)
    late = asyncio.create_task(process.asks())
    await asyncio.sleep(0)
    answers = await asyncio.gather(process.asks(), process.asks())
    may_answer.set()
    assert {*answers, await late} == {"ProviderUnavailableError"}
    assert note.told == 1
    assert len(logs.events("llm.circuit")) == 2


async def test_a_probe_that_fails_is_told_again(note: Note) -> None:
    process = Process(note, BUSY)
    for _ in range(3):
        await process.asks()
    note.clock.now += 30
    await process.asks()
    assert note.told == 2
    assert await note.remote_open_s() == 30


async def test_one_failure_opens_no_circuit_without_an_open_one_elsewhere(note: Note) -> None:
    process = Process(note, BUSY)
    await process.asks()
    await process.asks()
    assert process.state == "closed"
