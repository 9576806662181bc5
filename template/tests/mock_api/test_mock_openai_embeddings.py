"""The OpenAI SDK against the mock's embeddings."""

import math
from typing import TYPE_CHECKING

import pytest

from tests import sdk

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MODEL = "text-embedding-3-small"


def similarity(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_base64_which_the_sdk_asks_for_equals_floats(openai: "AsyncOpenAI") -> None:
    packed = await openai.embeddings.create(model=MODEL, input="a b c")
    floats = await openai.embeddings.create(model=MODEL, input="a b c", encoding_format="float")
    assert packed.data[0].embedding == floats.data[0].embedding
    assert packed.usage.prompt_tokens == packed.usage.total_tokens == 3


async def test_vectors_have_unit_length(openai: "AsyncOpenAI") -> None:
    answer = await openai.embeddings.create(model=MODEL, input="the quick brown fox")
    assert math.isclose(math.hypot(*answer.data[0].embedding), 1, abs_tol=1e-6)


async def test_texts_that_share_words_are_closer(openai: "AsyncOpenAI") -> None:
    texts = ["The red fox sleeps", "A red FOX runs", "invoice payment overdue"]
    answer = await openai.embeddings.create(model=MODEL, input=texts)
    fox, other_fox, invoice = (item.embedding for item in answer.data)
    assert [item.index for item in answer.data] == [0, 1, 2]
    assert similarity(fox, other_fox) > 0.4
    assert abs(similarity(fox, invoice)) < 0.2


@pytest.mark.parametrize(
    ("model", "dimensions", "size"),
    [
        pytest.param(MODEL, None, 1536, id="default"),
        pytest.param("text-embedding-3-large", None, 3072, id="large"),
        pytest.param(MODEL, 64, 64, id="asked for"),
    ],
)
async def test_the_size_is_the_models_or_as_asked(
    openai: "AsyncOpenAI", model: str, dimensions: int | None, size: int
) -> None:
    more = {} if dimensions is None else {"dimensions": dimensions}
    answer = await openai.embeddings.create(model=model, input="hello", extra_body=more)
    assert len(answer.data[0].embedding) == size


@pytest.mark.parametrize(
    ("given", "vectors"),
    [
        pytest.param([1, 2, 3], 1, id="tokens"),
        pytest.param([[1, 2], [3]], 2, id="lists of tokens"),
        pytest.param("?!", 1, id="only punctuation"),
        pytest.param("🦊🦊", 1, id="emoji"),
    ],
)
async def test_any_form_of_input_is_taken(
    openai: "AsyncOpenAI", given: str | list[int] | list[list[int]], vectors: int
) -> None:
    answer = await openai.embeddings.create(model=MODEL, input=given)
    assert len(answer.data) == vectors


@pytest.mark.parametrize(
    ("given", "field"),
    [
        pytest.param({"input": ""}, "input", id="empty text"),
        pytest.param({"input": []}, "input", id="no texts"),
        pytest.param({"input": ["a", ""]}, "input[1]", id="an empty text among others"),
        pytest.param({"input": [[]]}, "input[0]", id="no tokens"),
        pytest.param({"input": 5}, "input", id="a number"),
        pytest.param({"input": ["a"] * 2049}, "input", id="too many"),
        pytest.param({"dimensions": 4096}, "dimensions", id="too many dimensions"),
    ],
)
async def test_bad_input_is_refused_by_name(
    openai: "AsyncOpenAI", given: dict[str, object], field: str
) -> None:
    with pytest.raises(sdk.openai.BadRequestError) as refused:
        await openai.embeddings.create(model=MODEL, input="x", extra_body=given)
    assert (refused.value.param or "").startswith(field)
