"""Hedging with fakes. A model that waits, waits for ever: only the delay of the hedge passes."""

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from app.errors import ProviderUnavailableError, StreamInterruptedError
from app.llm.guards.guard import stacked
from app.llm.guards.hedged import Hedged
from app.llm.model import Model
from app.llm.types import ChatRequest, Done, EmbeddingRequest, Embeddings, TextDelta
from app.resilience.hedge import HedgePolicy
from app.testing import CapturedLogs, FakeChatModel, Turn
from tests.llm.samples import REQUEST, ask

AT_ONCE = HedgePolicy(after_s=0.001, max_extra=1)
HANGS: Turn = [lambda: asyncio.Event().wait()]  # one event would belong to one loop


def hedged(first: Turn, second: Turn) -> tuple[FakeChatModel, FakeChatModel, Model]:
    model, alternative = FakeChatModel(first, name="one"), FakeChatModel(second, name="two")
    return model, alternative, stacked(model, [Hedged(AT_ONCE, alternative=alternative)])


async def test_the_alternative_answers_when_the_first_is_slow(logs: CapturedLogs) -> None:
    _, _, model = hedged(HANGS, "from two")
    assert (await model.complete(REQUEST)).content == "from two"
    (line,) = logs.events("llm.hedge")
    assert (line["level"], line["won"]) == ("info", "second")
    assert line["after_s"] >= 0.001


async def test_it_is_the_first_that_answers_when_it_can() -> None:
    _, alternative, model = hedged("from one", "from two")
    assert (await model.complete(REQUEST)).content == "from one"
    assert alternative.requests == []
    assert model.name == "one"


@pytest.mark.parametrize(
    "request_",
    [replace(REQUEST, provider="one"), replace(REQUEST, model="one-large")],
    ids=["provider", "model"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["in one piece", "streamed"])
async def test_a_name_is_for_the_same_providers(request_: ChatRequest, *, stream: bool) -> None:
    first, alternative = FakeChatModel(HANGS, "from one", name="one"), FakeChatModel(name="two")
    model = stacked(first, [Hedged(AT_ONCE, alternative=alternative)])
    await ask(model, request_, stream=stream)
    assert first.requests == [request_, request_]
    assert alternative.requests == []


async def test_a_single_chain_is_its_own_alternative() -> None:
    model = FakeChatModel(HANGS, "again")
    assert (await stacked(model, [Hedged(AT_ONCE)]).complete(REQUEST)).content == "again"


async def test_a_stream_is_hedged_until_its_first_event() -> None:
    first, alternative, model = hedged(HANGS, ["from ", "two"])
    async with aclosing(model.stream(REQUEST)) as events:
        assert await anext(events) == TextDelta("from ")
        assert (first.open_streams, alternative.open_streams) == (0, 1)
        assert await anext(events) == TextDelta("two")
        assert isinstance(await anext(events), Done)


async def test_a_stream_that_has_begun_may_take_its_time() -> None:
    pause = [lambda: asyncio.sleep(0.01)]
    _, alternative, model = hedged(["from ", *pause, "one"], "from two")
    texts = [event.text async for event in model.stream(REQUEST) if isinstance(event, TextDelta)]
    assert texts == ["from ", "one"]
    assert alternative.requests == []


async def test_of_two_streams_that_begin_together_one_is_closed() -> None:
    both = asyncio.Event()
    first, alternative, model = hedged([both.wait, "from one"], [both.wait, "from two"])
    async with aclosing(model.stream(REQUEST)) as events:
        reading = asyncio.ensure_future(anext(events))
        while not alternative.open_streams:  # noqa: ASYNC110 - a fake has no event for it
            await asyncio.sleep(0.001)
        both.set()
        assert await reading == TextDelta("from one")
        assert (first.open_streams, alternative.open_streams) == (1, 0)
    assert first.open_streams == 0


@pytest.mark.parametrize("turns", range(8))
async def test_a_reader_that_leaves_closes_both_calls(turns: int) -> None:
    both = asyncio.Event()
    first, alternative, model = hedged([both.wait, "from one"], [both.wait, "from two"])

    async def listen() -> None:
        async with aclosing(model.stream(REQUEST)) as events:
            async for _ in events:
                await asyncio.Event().wait()

    listener = asyncio.create_task(listen())
    while not alternative.open_streams:  # noqa: ASYNC110 - a fake has no event for it
        await asyncio.sleep(0.001)
    both.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    listener.cancel()
    await asyncio.wait([listener])
    assert (first.open_streams, alternative.open_streams) == (0, 0)


async def test_an_error_is_the_first_chains() -> None:
    late = [lambda: asyncio.sleep(0.02)]
    errors = ProviderUnavailableError("one"), ProviderUnavailableError("two")
    _, alternative, model = hedged([*late, errors[0]], errors[1])
    with pytest.raises(ProviderUnavailableError, match="one"):
        await model.complete(REQUEST)
    assert len(alternative.requests) == 1


async def test_a_stream_that_breaks_later_is_not_made_up_for() -> None:
    _, alternative, model = hedged(["fr", StreamInterruptedError("cut", text="fr")], "from two")
    with pytest.raises(StreamInterruptedError):
        [event async for event in model.stream(REQUEST)]
    assert alternative.requests == []


async def test_embeddings_are_asked_for_where_they_came_from() -> None:
    class Slow(FakeChatModel):
        calls = 0

        async def embed(self, request: EmbeddingRequest) -> Embeddings:
            self.calls += 1
            if self.calls == 1:
                await asyncio.Event().wait()
            return await super().embed(request)

    model = Slow()
    texts = EmbeddingRequest(("a",))
    assert (await stacked(model, [Hedged(AT_ONCE)]).embed(texts)).vectors == ((1.0, 1.0),)
    assert model.calls == 2
