"""Any number of texts, in calls of a size that providers accept, each with its own result."""

import asyncio
import math

import pytest

from app.errors import (
    LLMError,
    MalformedAnswerError,
    ProviderTimeoutError,
    ProviderUnavailableError,
    RequestRefusedError,
    UnsupportedRequestError,
)
from app.llm.embedding_batches import MAX_BYTES, MAX_TEXTS, EmbeddingBatches
from app.llm.types import EmbeddingRequest, Embeddings, Vector
from tests.llm.embedder import Embedder

BUSY = ProviderUnavailableError("busy", status=503)


def texts_of(count: int) -> list[str]:
    return [f"text {number}" for number in range(count)]


async def embedded(model: Embedder, texts: list[str], limit: int = 4) -> list[Vector | LLMError]:
    batch = await EmbeddingBatches(model, limit=limit).embed(texts)
    assert batch.model == "fake-1"
    return list(batch.items)


def vector_of(text: str) -> Vector:
    return (float(len(text)), 1.0)


async def test_each_text_gets_its_vector_in_order() -> None:
    texts = ["three", "a", "four"]
    assert await embedded(Embedder(), texts) == [vector_of(text) for text in texts]


async def test_a_hundred_texts_are_one_call() -> None:
    model = Embedder()
    await embedded(model, texts_of(100))
    assert [len(call) for call in model.calls] == [100]


async def test_many_texts_are_calls_that_a_provider_takes() -> None:
    model, texts = Embedder(), texts_of(2 * MAX_TEXTS + 1)
    assert await embedded(model, texts) == [vector_of(text) for text in texts]
    assert [len(call) for call in model.calls] == [MAX_TEXTS, MAX_TEXTS, 1]


async def test_long_texts_are_fewer_in_a_call() -> None:
    model = Embedder()
    # Three bytes each: the limit is in bytes, not in characters.
    await embedded(model, [letter * (MAX_BYTES // 7) for letter in "你好吗天地"])
    assert [len(call) for call in model.calls] == [2, 2, 1]


async def test_a_text_that_fills_a_call_alone_is_sent_all_the_same() -> None:
    model = Embedder()
    await embedded(model, ["x" * (MAX_BYTES + 1), "y"])
    assert [len(call) for call in model.calls] == [1, 1]


async def test_a_text_with_half_a_character_is_left_to_the_provider() -> None:
    assert await embedded(Embedder(), ["\ud83d"]) == [(1.0, 1.0)]


async def test_equal_texts_are_paid_for_once() -> None:
    model = Embedder()
    assert await embedded(model, ["a", "bb", "a"]) == [(1.0, 1.0), (2.0, 1.0), (1.0, 1.0)]
    assert model.calls == [("a", "bb")]


@pytest.mark.slow
async def test_ten_thousand_texts_never_exceed_the_limit() -> None:
    model = Embedder(refuses={"text 77", "text 7777"})
    await embedded(model, texts_of(10_000), limit=5)
    assert model.most_running == 5


@pytest.mark.parametrize("bad", [{0}, {99}, {42}, {1, 50, 98}, set(range(0, 100, 2))], ids=str)
async def test_a_bad_text_costs_only_itself(bad: set[int]) -> None:
    texts = texts_of(100)
    items = await embedded(Embedder(refuses={texts[index] for index in bad}), texts)
    assert {
        index for index, item in enumerate(items) if isinstance(item, RequestRefusedError)
    } == bad
    assert all(items[i] == vector_of(texts[i]) for i in range(100) if i not in bad)


@pytest.mark.parametrize("count", [2, 3, 100, MAX_TEXTS])
async def test_a_bad_text_is_found_in_few_calls(count: int) -> None:
    model = Embedder(refuses={f"text {count // 3}"})
    await embedded(model, texts_of(count))
    assert len(model.calls) <= 1 + 2 * math.ceil(math.log2(count))


async def test_a_text_with_a_vector_is_never_sent_again() -> None:
    model = Embedder(refuses={"text 5"}, fails={"text 200": BUSY})
    await embedded(model, texts_of(300))
    accepted = [
        text for call in model.calls if not {"text 5", "text 200"} & {*call} for text in call
    ]
    assert len(accepted) == len(set(accepted)) == 300 - 1 - MAX_TEXTS


async def test_a_call_that_failed_is_not_split_and_costs_no_other_call() -> None:
    model = Embedder(fails={"text 130": BUSY})
    items = await embedded(model, texts_of(3 * MAX_TEXTS))
    assert len(model.calls) == 3
    assert [item for item in items if isinstance(item, LLMError)] == [BUSY] * MAX_TEXTS
    assert items[MAX_TEXTS : 2 * MAX_TEXTS] == [BUSY] * MAX_TEXTS


async def test_no_vector_at_all_is_the_providers_failure() -> None:
    with pytest.raises(ProviderUnavailableError):
        await embedded(Embedder(fails={"text 1": BUSY}), texts_of(3))


async def test_bad_texts_do_not_hide_an_outage() -> None:
    late = ProviderTimeoutError("late")
    texts = ["x" * MAX_BYTES, "good"]
    with pytest.raises(ProviderTimeoutError):
        await embedded(Embedder(refuses={texts[0]}, fails={"good": late}), texts)


async def test_when_every_text_is_refused_the_refusal_is_raised() -> None:
    with pytest.raises(RequestRefusedError, match="too long"):
        await embedded(Embedder(refuses=texts_of(5)), texts_of(5))


async def test_an_unsupported_request_is_sent_once() -> None:
    model = Embedder(fails={"text 0": UnsupportedRequestError("no embeddings")})
    with pytest.raises(UnsupportedRequestError):
        await embedded(model, texts_of(64))
    assert len(model.calls) == 1


async def test_cancelling_cancels_every_call() -> None:
    model = Embedder(hangs=True)
    batch = asyncio.create_task(embedded(model, texts_of(10 * MAX_TEXTS), limit=3))
    while model.running < 3:  # noqa: ASYNC110 - until the calls are under way
        await asyncio.sleep(0)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    assert (model.running, len(model.calls)) == (0, 3)


class Gateway(Embedder):
    """Its calls are answered by these spaces in turns; the last one repeats."""

    def __init__(self, *spaces: tuple[str, int]) -> None:
        super().__init__()
        self.spaces = list(spaces)

    async def _answer(self, request: EmbeddingRequest) -> Embeddings:
        model, dimension = self.spaces.pop(0) if len(self.spaces) > 1 else self.spaces[0]
        vectors = tuple((1.0,) * dimension for _ in request.texts)
        return Embeddings(model=model, vectors=vectors, prompt_tokens=0)


OLD, NEW, WIDE = ("old", 3), ("new", 3), ("old", 4)


@pytest.mark.parametrize("other", [NEW, WIDE], ids=["another model", "another dimension"])
async def test_a_model_that_changes_is_asked_again_for_the_texts_of_the_other(
    other: tuple[str, int],
) -> None:
    model, texts = Gateway(OLD, other), texts_of(3 * MAX_TEXTS)
    batch = await EmbeddingBatches(model, limit=1).embed(texts)
    assert {(batch.model, len(item)) for item in vectors_of(batch.items)} == {other}
    assert len(vectors_of(batch.items)) == len(texts)
    assert [len(call) for call in model.calls] == [MAX_TEXTS] * 4


async def test_a_text_embedded_twice_by_another_model_has_an_error_of_its_own() -> None:
    model = Gateway(OLD, NEW, NEW, OLD, OLD)
    batch = await EmbeddingBatches(model, limit=1).embed(texts_of(3 * MAX_TEXTS))
    errors = [type(item) for item in batch.items if isinstance(item, LLMError)]
    assert (batch.model, errors) == ("new", [ProviderUnavailableError] * MAX_TEXTS)
    assert len(model.calls) == 4


async def test_the_model_of_the_last_batch_is_preferred() -> None:
    batches = EmbeddingBatches(Gateway(OLD, NEW, OLD, NEW, OLD), limit=1)
    assert (await batches.embed(["a"])).model == "old"
    batch = await batches.embed(texts_of(3 * MAX_TEXTS))
    assert (batch.model, len(vectors_of(batch.items))) == ("old", 3 * MAX_TEXTS)


def vectors_of(items: tuple[Vector | LLMError, ...]) -> list[Vector]:
    return [item for item in items if not isinstance(item, LLMError)]


class Broken(Embedder):
    """Gives the vector for the text "bad"."""

    def __init__(self, vector: Vector) -> None:
        super().__init__()
        self.vector = vector

    async def _answer(self, request: EmbeddingRequest) -> Embeddings:
        vectors = tuple(self.vector if text == "bad" else (1.0, 2.0) for text in request.texts)
        return Embeddings(model="fake-1", vectors=vectors, prompt_tokens=0)


@pytest.mark.parametrize(
    "vector",
    [(0.0, 0.0), (math.nan, 1.0), (math.inf, 1.0), (1e300, 1.0), (1e-300, 0.0), ()],
    ids=["zeros", "nan", "infinite", "too large for 32 bits", "too small", "empty"],
)
async def test_a_vector_that_cannot_be_compared_is_an_error_of_its_text(vector: Vector) -> None:
    items = await embedded(Broken(vector), ["good", "bad"])
    assert items[0] == (1.0, 2.0)
    assert isinstance(items[1], MalformedAnswerError)
    with pytest.raises(MalformedAnswerError):
        await embedded(Broken(vector), ["bad"])


async def test_no_text_at_all_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no text"):
        await EmbeddingBatches(Embedder(), limit=1).embed([])


@pytest.mark.parametrize(("status", "calls"), [(405, 1), (410, 1), (400, 7), (413, 7), (422, 7)])
async def test_a_batch_is_asked_again_in_halves_if_a_text_may_be_the_reason(
    status: int, calls: int
) -> None:
    refusal = RequestRefusedError("no", status=status)
    model = Embedder(fails=dict.fromkeys(texts_of(4), refusal))
    with pytest.raises(RequestRefusedError):
        await embedded(model, texts_of(4))
    assert len(model.calls) == calls
