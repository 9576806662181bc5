import asyncio
from contextlib import aclosing
from dataclasses import fields, replace
from typing import TypeVar

import pytest

from app.cache import NoCache
from app.errors import NothingCanAnswerError, ProviderUnavailableError, StreamInterruptedError
from app.llm.guards.cached import Cached
from app.llm.guards.deduplicated import Deduplicated, flight_key
from app.llm.guards.guard import stacked
from app.llm.types import (
    AnswerSchema,
    ChatRequest,
    Done,
    ImagePart,
    LLMResponse,
    Message,
    NamedTool,
    ResolvedRequest,
    StreamEvent,
    TextDelta,
    TextPart,
    Tool,
)
from app.telemetry.correlation import request_id
from app.testing import CapturedLogs, FakeChatModel, Piece
from tests.llm.samples import REQUEST

T = TypeVar("T")


class Bench:
    """A model that waits for `go` in the middle of its answer."""

    def __init__(self, *after: Piece) -> None:
        self.go = asyncio.Event()
        self.model = FakeChatModel(["Hel", self.go.wait, *(after or ["lo!"])])
        self.shared = stacked(self.model, [Deduplicated()])

    async def completes(self, request: ChatRequest = REQUEST) -> asyncio.Task[LLMResponse]:
        return await begun(asyncio.create_task(self.shared.complete(request)))

    async def streams(self) -> asyncio.Task[list[StreamEvent]]:
        return await begun(asyncio.create_task(self.listen()))

    async def listen(self) -> list[StreamEvent]:
        return [event async for event in self.shared.stream(REQUEST)]


async def begun(task: asyncio.Task[T]) -> asyncio.Task[T]:
    for _ in range(10):
        await asyncio.sleep(0)
    return task


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_hundred_equal_questions_are_one_call(bench: Bench) -> None:
    calls = [await bench.completes(replace(REQUEST)) for _ in range(100)]
    bench.go.set()
    first, *others = await asyncio.gather(*calls)
    assert (first.content, first.cached) == ("Hello!", False)
    assert others == [first.model_copy(update={"cached": True, "cost_usd": 0.0})] * 99
    assert len(bench.model.requests) == 1


async def test_a_hundred_equal_streams_are_one_call(bench: Bench) -> None:
    listeners = [await bench.streams() for _ in range(100)]
    assert bench.model.open_streams == 1
    bench.go.set()
    first, *others = await asyncio.gather(*listeners)
    *deltas, done = first
    assert deltas == [TextDelta("Hel"), TextDelta("lo!")]
    assert isinstance(done, Done)
    assert not done.response.cached
    unpaid = Done(done.response.model_copy(update={"cached": True, "cost_usd": 0.0}))
    assert others == [[*deltas, unpaid]] * 99
    assert len(bench.model.requests) == 1


async def test_a_stream_and_an_answer_are_two_calls(bench: Bench) -> None:
    calls = [await bench.completes(), await bench.streams()]
    bench.go.set()
    await asyncio.wait(calls)
    assert len(bench.model.requests) == 2


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, provider="one"),
        replace(REQUEST, model="another"),
        replace(REQUEST, tenant="another"),
        replace(REQUEST, messages=REQUEST.messages[1:]),
    ],
    ids=["provider", "model", "tenant", "messages"],
)
async def test_another_question_is_another_call(bench: Bench, other: ChatRequest) -> None:
    calls = [await bench.completes(), await bench.completes(other)]
    bench.go.set()
    assert [response.cached for response in await asyncio.gather(*calls)] == [False, False]


async def test_the_stream_is_closed_when_its_last_reader_leaves(bench: Bench) -> None:
    staying = bench.shared.stream(REQUEST)
    async with aclosing(staying):
        async with aclosing(bench.shared.stream(REQUEST)) as leaving:
            assert await anext(staying) == await anext(leaving)
        assert bench.model.open_streams == 1
    assert bench.model.open_streams == 0


@pytest.mark.parametrize(
    "error",
    [
        StreamInterruptedError("cut", text="Hel", provider="fake"),
        NothingCanAnswerError([ProviderUnavailableError("busy", retry_after_s=7)]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_each_gets_the_error_with_its_facts(
    error: StreamInterruptedError | NothingCanAnswerError,
) -> None:
    bench = Bench(error)
    calls = [await bench.completes(), await bench.completes()]
    bench.go.set()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [(type(each), vars(each)) for each in errors if isinstance(each, type(error))] == [
        (type(error), vars(error))
    ] * 2
    assert errors[0] is not errors[1]


async def test_a_shared_call_is_logged_with_the_request_id_of_each_caller(
    bench: Bench, logs: CapturedLogs
) -> None:
    for name in ["first", "second"]:
        request_id.set(name)
        await bench.completes()
    (line,) = logs.events("llm.shared")
    assert (line["request_id"], line["level"], line["stream"]) == ("second", "info", False)


FRESH = replace(REQUEST, fresh=True)


@pytest.mark.parametrize("running", [REQUEST, FRESH], ids=["an ordinary call", "a fresh one"])
async def test_a_fresh_call_joins_no_running_one(bench: Bench, running: ChatRequest) -> None:
    calls = [await bench.completes(running), await bench.completes(FRESH)]
    bench.go.set()
    assert [response.cached for response in await asyncio.gather(*calls)] == [False, False]
    assert len(bench.model.requests) == 2


async def test_an_ordinary_call_joins_no_fresh_one(bench: Bench) -> None:
    calls = [await bench.completes(FRESH), await bench.completes(REQUEST)]
    bench.go.set()
    assert [response.cached for response in await asyncio.gather(*calls)] == [False, False]


async def test_a_fresh_stream_joins_no_running_one(bench: Bench) -> None:
    running = await bench.streams()
    async with aclosing(bench.shared.stream(FRESH)) as fresh:
        assert await anext(fresh) == TextDelta("Hel")
        assert bench.model.open_streams == 2
    assert bench.model.open_streams == 1
    bench.go.set()
    await running


SCHEMAS = [
    None,
    AnswerSchema("a", {"x": 1}),
    AnswerSchema("b", {"x": 1}),
    AnswerSchema("a", {"x": True}),
    AnswerSchema("a", {}),
]


def test_requests_with_another_schema_or_tenant_are_not_equal() -> None:
    asked = [replace(REQUEST, answer_schema=schema) for schema in SCHEMAS]
    asked += [replace(REQUEST, tenant="a"), replace(REQUEST, tenant="b")]
    for key in (Cached(NoCache()).key, flight_key):
        keys = [key(request) for request in asked]
        assert len(set(keys)) == len(asked)
        assert keys == [key(request) for request in asked]


@pytest.mark.parametrize(
    "kind",
    [ChatRequest, ResolvedRequest, Message, TextPart, ImagePart, Tool, NamedTool, AnswerSchema],
)
def test_all_that_makes_another_question_is_in_the_repr_that_keys_are_made_of(kind: type) -> None:
    hidden = {field.name for field in fields(kind) if not field.repr}
    assert hidden <= {"prompt", "receipt"}
