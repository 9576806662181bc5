"""Guards as a newcomer writes them, and what an observer of a stream learns."""

import asyncio
from contextlib import aclosing, suppress

import pytest

from app.errors import StreamInterruptedError
from app.llm.guards.guard import Call, Guard, R, T, stacked, watch
from app.llm.model import open_stream
from app.llm.opened_stream import Answer, Observer
from app.llm.types import Done, EmbeddingRequest, LLMResponse, TextDelta
from app.testing import FakeChatModel
from tests.llm.samples import REQUEST, ask

CUT = StreamInterruptedError("cut", text="a", provider="fake")


class Counting(Guard):
    def __init__(self) -> None:
        self.calls = 0

    async def around(self, request: R, call: Call[R, T]) -> T:
        self.calls += 1
        return await call(request)


class Recording(Guard, Observer):
    """Writes down what it sees, and signs each answer with its label."""

    def __init__(self, label: str, seen: list[str]) -> None:
        self.label = label
        self.seen = seen

    async def around(self, request: R, call: Call[R, T]) -> T:
        return await watch(self, call(request))

    def delta(self, text: TextDelta) -> None:
        self.seen.append(f"{self.label} delta {text.text}")

    async def finished(self, answer: Answer) -> Answer:
        self.seen.append(f"{self.label} finished")
        if isinstance(answer, LLMResponse):
            return answer.model_copy(update={"content": answer.content + self.label})
        return answer

    async def failed(self, error: BaseException) -> None:
        self.seen.append(f"{self.label} {type(error).__name__}")


@pytest.fixture
def seen() -> list[str]:
    return []


async def test_one_method_guards_answers_streams_and_embeddings() -> None:
    counting = Counting()
    model = stacked(FakeChatModel(), [counting])
    await ask(model, stream=False)
    await ask(model, stream=True)
    await model.embed(EmbeddingRequest(("a",)))
    assert counting.calls == 3
    assert (model.name, counting.name) == ("fake", "fake")


async def test_the_first_guard_of_the_list_is_the_outermost(seen: list[str]) -> None:
    model = stacked(FakeChatModel("Hi"), [Recording("out", seen), Recording("in", seen)])
    assert (await model.complete(REQUEST)).content == "Hiinout"
    assert seen == ["in finished", "out finished"]


async def test_observers_see_a_stream_from_the_inside_out(seen: list[str]) -> None:
    model = stacked(FakeChatModel(["a", "b"]), [Recording("out", seen), Recording("in", seen)])
    *deltas, done = [event async for event in model.stream(REQUEST)]
    assert deltas == [TextDelta("a"), TextDelta("b")]
    assert isinstance(done, Done)
    assert done.response.content == "abinout"
    order = ["in delta a", "out delta a", "in delta b", "out delta b"]
    assert seen == [*order, "in finished", "out finished"]


async def test_a_stream_that_breaks_tells_each_observer_once(seen: list[str]) -> None:
    model = stacked(FakeChatModel(["a", CUT]), [Recording("out", seen), Recording("in", seen)])
    with pytest.raises(StreamInterruptedError):
        await ask(model, stream=True)
    assert seen[2:] == ["in StreamInterruptedError", "out StreamInterruptedError"]


async def test_a_call_that_fails_before_its_first_event_tells_each_observer_once(
    seen: list[str],
) -> None:
    model = stacked(FakeChatModel(CUT), [Recording("out", seen), Recording("in", seen)])
    with suppress(StreamInterruptedError):
        await ask(model, stream=True)
    assert seen == ["in StreamInterruptedError", "out StreamInterruptedError"]


@pytest.mark.parametrize("read", [0, 1, 2])
async def test_a_stream_that_its_reader_leaves_tells_each_observer_once(
    read: int, seen: list[str]
) -> None:
    provider = FakeChatModel(["a", "b"])
    model = stacked(provider, [Recording("out", seen), Recording("in", seen)])
    async with aclosing(await open_stream(model, REQUEST)) as events:
        for _ in range(read):
            await anext(events)
    await events.aclose()
    assert [line for line in seen if "delta" not in line] == [
        "in GeneratorExit",
        "out GeneratorExit",
    ]
    assert provider.open_streams == 0


async def test_a_reader_that_is_cancelled_tells_each_observer_once(seen: list[str]) -> None:
    waiting = asyncio.Event()

    async def hang() -> None:
        waiting.set()
        await asyncio.Event().wait()

    provider = FakeChatModel(["a", hang])
    model = stacked(provider, [Recording("out", seen), Recording("in", seen)])
    reading = asyncio.create_task(ask(model, stream=True))
    await waiting.wait()
    reading.cancel()
    await asyncio.wait([reading])
    assert seen[2:] == ["in CancelledError", "out CancelledError"]
    assert provider.open_streams == 0


class Failing(Observer):
    def __init__(self, *, on: str) -> None:
        self.on = on

    def _fail(self, moment: str) -> None:
        if self.on == moment:
            raise ValueError(moment)

    def delta(self, _text: TextDelta) -> None:
        self._fail("delta")

    async def finished(self, answer: Answer) -> Answer:
        self._fail("finished")
        return answer

    async def failed(self, _error: BaseException) -> None:
        self._fail("failed")


@pytest.mark.parametrize("moment", ["delta", "finished", "failed"])
async def test_an_observer_that_fails_breaks_the_stream_and_the_others_learn_of_it(
    moment: str, seen: list[str]
) -> None:
    provider = FakeChatModel(["a", "b", CUT] if moment == "failed" else ["a", "b"])

    class Watching(Guard):
        async def around(self, request: R, call: Call[R, T]) -> T:
            return await watch(Failing(on=moment), call(request))

    model = stacked(provider, [Recording("out", seen), Watching()])
    with pytest.raises(ValueError, match=moment):
        await ask(model, stream=True)
    assert seen[-1] == "out ValueError"
    assert provider.open_streams == 0


def test_a_guard_stands_in_front_of_one_provider_only() -> None:
    counting = Counting()
    stacked(FakeChatModel(name="one"), [counting])
    with pytest.raises(ValueError, match="Counting guards one already, not two"):
        stacked(FakeChatModel(name="two"), [counting])
