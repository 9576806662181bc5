from dataclasses import replace

import pytest

from app.cache import MemoryCache
from app.errors import ProviderUnavailableError, StreamInterruptedError
from app.llm.guards.cached import Cached, CachePolicy
from app.llm.guards.guard import stacked
from app.llm.types import ChatRequest, Done, FinishReason, LLMResponse, Message, TextDelta
from app.testing import FakeChatModel, FakeClock, captured_logs
from tests.llm.samples import REQUEST


class CutShort(FakeChatModel):
    reason: FinishReason = "length"

    def response(self, content: str) -> LLMResponse:
        return super().response(content).model_copy(update={"finish_reason": self.reason})


class SpyCache(MemoryCache):
    keys: tuple[str, ...] = ()

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        self.keys = (*self.keys, key)
        await super().set(key, value, ttl_s)


@pytest.fixture
def model() -> FakeChatModel:
    return FakeChatModel("first", "second")


async def test_an_equal_request_gets_the_same_answer(model: FakeChatModel) -> None:
    cached = stacked(model, [Cached(MemoryCache())])
    first = await cached.complete(REQUEST)
    again = await cached.complete(replace(REQUEST))
    assert not first.cached
    assert again == first.model_copy(update={"cached": True})
    assert len(model.requests) == 1


@pytest.mark.parametrize(
    "other",
    [
        replace(REQUEST, model="another"),
        replace(REQUEST, temperature=0.6),
        replace(REQUEST, temperature=None),
        replace(REQUEST, max_tokens=7),
        replace(REQUEST, messages=REQUEST.messages[1:]),
        replace(REQUEST, messages=REQUEST.messages[::-1]),
        ChatRequest((Message("user", 'Be brief.","user","Where is'),), temperature=0.5),
    ],
    ids=["model", "temperature", "no temperature", "tokens", "fewer", "order", "quoting"],
)
async def test_another_request_is_another_question(
    model: FakeChatModel, other: ChatRequest
) -> None:
    cached = stacked(model, [Cached(MemoryCache())])
    await cached.complete(REQUEST)
    assert not (await cached.complete(other)).cached


async def test_a_fresh_request_is_a_new_call_and_its_answer_is_kept(model: FakeChatModel) -> None:
    cached = stacked(model, [Cached(MemoryCache())])
    await cached.complete(REQUEST)
    assert (await cached.complete(replace(REQUEST, fresh=True))).content == "second"
    assert (await cached.complete(REQUEST)).content == "second"


async def test_another_provider_is_another_question() -> None:
    cache = MemoryCache()
    await stacked(FakeChatModel(name="one"), [Cached(cache)]).complete(REQUEST)
    assert not (await stacked(FakeChatModel(name="two"), [Cached(cache)]).complete(REQUEST)).cached


async def test_another_address_of_a_provider_is_another_question() -> None:
    cache, mock = MemoryCache(), "http://127.0.0.1:9000/v1"
    await stacked(FakeChatModel(), [Cached(cache, address=mock)]).complete(REQUEST)
    real = stacked(FakeChatModel(), [Cached(cache, address="https://api.openai.com/v1")])
    assert not (await real.complete(REQUEST)).cached
    assert (await stacked(FakeChatModel(), [Cached(cache, address=mock)]).complete(REQUEST)).cached


async def test_the_key_shows_nothing_of_the_question(model: FakeChatModel) -> None:
    cache = SpyCache()
    await stacked(model, [Cached(cache)]).complete(REQUEST)
    (key,) = cache.keys
    assert key.startswith("chat:")
    assert len(key) == len("chat:") + 64


async def test_an_error_is_not_kept() -> None:
    cached = stacked(
        FakeChatModel(ProviderUnavailableError("busy"), "fine"), [Cached(MemoryCache())]
    )
    with pytest.raises(ProviderUnavailableError):
        await cached.complete(REQUEST)
    assert not (await cached.complete(REQUEST)).cached


@pytest.mark.parametrize("reason", ["length", "content_filter", "refusal", "tool_calls"])
async def test_only_a_whole_answer_is_kept(reason: FinishReason) -> None:
    model = CutShort()
    model.reason = reason
    cached = stacked(model, [Cached(MemoryCache())])
    await cached.complete(REQUEST)
    assert not (await cached.complete(REQUEST)).cached


async def test_an_answer_is_kept_for_its_time(model: FakeChatModel) -> None:
    clock = FakeClock()
    cache = MemoryCache(clock=clock.monotonic)
    cached = stacked(model, [Cached(cache, CachePolicy(ttl_s=60), clock=clock.monotonic)])
    await cached.complete(REQUEST)
    clock.now += 59
    assert (await cached.complete(REQUEST)).cached
    clock.now += 1
    assert (await cached.complete(REQUEST)).content == "second"


async def test_a_finished_stream_is_kept_and_replayed() -> None:
    text = "0123456789" * 20
    cached = stacked(FakeChatModel([text[:50], text[50:]], "other"), [Cached(MemoryCache())])
    *_, first = [event async for event in cached.stream(REQUEST)]
    *deltas, again = [event async for event in cached.stream(REQUEST)]
    assert isinstance(first, Done)
    assert again == Done(first.response.model_copy(update={"cached": True}))
    texts = [event.text for event in deltas if isinstance(event, TextDelta)]
    assert "".join(texts) == text
    assert len(texts) > 1


async def test_streamed_or_not_is_the_same_question(model: FakeChatModel) -> None:
    cached = stacked(model, [Cached(MemoryCache())])
    await cached.complete(REQUEST)
    events = [event async for event in cached.stream(REQUEST)]
    assert events[0] == TextDelta("first")


async def test_half_a_stream_is_not_kept() -> None:
    cut = StreamInterruptedError("cut", text="fi")
    cached = stacked(FakeChatModel(["fi", cut], "fine"), [Cached(MemoryCache())])
    with pytest.raises(StreamInterruptedError):
        [event async for event in cached.stream(REQUEST)]
    assert not (await cached.complete(REQUEST)).cached


async def test_a_stored_value_that_cannot_be_read_is_a_miss(model: FakeChatModel) -> None:
    cache = SpyCache()
    cached = stacked(model, [Cached(cache)])
    await cached.complete(REQUEST)
    await cache.set(cache.keys[0], b'{"id": 7}', 60)
    with captured_logs() as logs:
        assert (await cached.complete(REQUEST)).content == "second"
    assert len(logs.events("cache.corrupt")) == 1


async def test_half_a_character_is_the_providers_matter(model: FakeChatModel) -> None:
    request = ChatRequest((Message("user", "\ud83d"),))
    assert (await stacked(model, [Cached(MemoryCache())]).complete(request)).content == "first"


async def test_closing_closes_the_stream_below() -> None:
    model = FakeChatModel(["a", "b"])
    stream = stacked(model, [Cached(MemoryCache())]).stream(REQUEST)
    await anext(stream)
    await stream.aclose()
    assert model.open_streams == 0


@pytest.mark.parametrize("empty", ["", " \n"], ids=["empty", "blank"])
async def test_an_empty_answer_is_not_kept(empty: str) -> None:
    model = FakeChatModel(empty, "Hello!")
    cached = stacked(model, [Cached(MemoryCache())])
    assert (await cached.complete(REQUEST)).content == empty
    assert (await cached.complete(REQUEST)).content == "Hello!"
