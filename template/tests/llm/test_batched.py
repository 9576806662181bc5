"""A model that answers by batches: which calls go together."""

import asyncio
from collections.abc import Sequence

import pytest

from app.errors import ProviderTimeoutError, UnsupportedRequestError
from app.llm.batch import BatchResult
from app.llm.batch_store import MemoryBatchStore
from app.llm.batched import BatchedModel, open_batched, work
from app.llm.batches import Batches
from app.llm.types import ChatRequest, Done, EmbeddingRequest, LLMResponse, TextDelta
from app.testing import FakeClock
from tests.llm.fake_batches import FakeBatchAPI, request


def batches_of(api: FakeBatchAPI, store: MemoryBatchStore | None = None) -> Batches:
    return Batches(api, store or MemoryBatchStore(), sleep=FakeClock().sleep)


async def caller(model: BatchedModel, name: str, questions: Sequence[str]) -> list[str]:
    """Ask one question after the other, as the work of this name."""
    work.set(name)
    try:
        return [(await model.complete(request(question))).content for question in questions]
    finally:
        model.left()


async def all_callers(model: BatchedModel, **questions: Sequence[str]) -> list[list[str]]:
    model.expect(len(questions))
    callers = (caller(model, name, asked) for name, asked in questions.items())
    return await asyncio.gather(*map(asyncio.create_task, callers))


def sizes(api: FakeBatchAPI) -> list[int]:
    return [len(entries) for entries in api.submitted.values()]


async def test_calls_of_all_callers_are_one_batch() -> None:
    async with open_batched(batches_of(api := FakeBatchAPI())) as model:
        answers = await all_callers(model, a=["1"], b=["2"], c=["3"])
    assert answers == [["1"], ["2"], ["3"]]
    assert sizes(api) == [3]


async def test_second_questions_are_a_second_batch_without_the_callers_that_left() -> None:
    async with open_batched(batches_of(api := FakeBatchAPI())) as model:
        answers = await all_callers(model, a=["1", "4"], b=["2"], c=["3", "5"], d=[])
    assert answers == [["1", "4"], ["2"], ["3", "5"], []]
    assert sizes(api) == [3, 2]


async def test_equal_questions_of_two_callers_are_two_requests() -> None:
    async with open_batched(batches_of(api := FakeBatchAPI())) as model:
        await all_callers(model, a=["1"], b=["1"])
    assert api.questions == ["1", "1"]


async def test_a_restart_gets_each_answer_from_the_batches_that_were_sent() -> None:
    api, store = FakeBatchAPI(), MemoryBatchStore()
    for _ in range(2):
        async with open_batched(batches_of(api, store)) as model:
            answers = await all_callers(model, a=["1", "3"], b=["1"])
        assert answers == [["1", "3"], ["1"]]
    assert api.questions == ["1", "1", "3"]


async def test_an_error_is_that_of_its_caller_alone() -> None:
    api, store = FakeBatchAPI(), MemoryBatchStore()
    batches = Batches(api, store, sleep=FakeClock().sleep, new_key=lambda: "k")
    api.results_of = [BatchResult("k-0", ProviderTimeoutError("its batch expired"))]
    async with open_batched(batches) as model:
        model.expect(1)
        with pytest.raises(ProviderTimeoutError, match="expired"):
            await caller(model, "a", ["1"])
    assert sizes(api) == [1]


async def test_the_answer_of_a_cancelled_caller_is_dropped() -> None:
    api = FakeBatchAPI()
    async with open_batched(batches_of(api)) as model:
        model.expect(2)
        gone = asyncio.create_task(caller(model, "a", ["1"]))
        await asyncio.sleep(0)
        gone.cancel()
        assert await caller(model, "b", ["2"]) == ["2"]
    assert "2" in api.questions


async def test_a_stream_is_the_whole_answer() -> None:
    async with open_batched(batches_of(FakeBatchAPI())) as model:
        events = [event async for event in model.stream(request("1"))]
    assert events[0] == TextDelta("1")
    assert isinstance(events[1], Done)


async def test_a_crash_of_the_callers_ends_the_wait() -> None:
    asking: list[asyncio.Task[LLMResponse]] = []

    async def crash() -> None:
        async with open_batched(batches_of(FakeBatchAPI(looks=10**9))) as model:
            asking.append(asyncio.create_task(model.complete(request("1"))))
            await asyncio.sleep(0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await crash()
    asking[0].cancel()


@pytest.mark.parametrize(
    "asked",
    [ChatRequest(request("1").messages, provider="other"), EmbeddingRequest(("1",))],
    ids=["another-provider", "embeddings"],
)
async def test_a_request_that_no_batch_takes_is_refused(
    asked: ChatRequest | EmbeddingRequest,
) -> None:
    async with open_batched(batches_of(FakeBatchAPI())) as model:
        with pytest.raises(UnsupportedRequestError):
            await (model.complete(asked) if isinstance(asked, ChatRequest) else model.embed(asked))
