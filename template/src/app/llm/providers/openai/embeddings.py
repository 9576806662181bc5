"""Between OpenAI's embeddings and ours, with the types of what travels. No I/O."""

import base64
import math
import sys
from array import array
from typing import Annotated, Literal, NotRequired, Required

from pydantic import BeforeValidator, FiniteFloat
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.errors import MalformedAnswerError
from app.llm.costs import Receipt
from app.llm.providers.boundary import (
    Count,
    Items,
    Lax,
    adapter,
    counted,
    malformed,
    note_usage,
    parsed,
    validated,
)
from app.llm.providers.openai.convert import PROVIDER, read_usage
from app.llm.providers.policy import Facts
from app.llm.providers.reported import raise_error_in
from app.llm.types import EmbeddingRequest, Embeddings, Vector

_OPENAI = Facts()


class WireRequest(TypedDict):
    model: str
    input: list[str]
    encoding_format: NotRequired[Literal["base64", "float"]]


def _unwrapped(vector: object) -> object:
    """llama.cpp sends a list of one vector where its model does not pool."""
    match vector:
        case [list(inner)]:
            return inner
    return vector


class Embedding(TypedDict, total=False):
    """`embedding` is 32-bit numbers in base64, or a list: some compatible servers know only that."""

    index: Count
    embedding: Required[Annotated[str | list[FiniteFloat], BeforeValidator(_unwrapped)]]


class EmbeddingUsage(TypedDict, total=False):
    prompt_tokens: Count
    total_tokens: Count


class EmbeddingList(TypedDict, total=False):
    data: Items[Embedding]
    model: Lax[str]
    usage: Lax[EmbeddingUsage]


EMBEDDING_LIST = adapter(EmbeddingList)


def request_to_wire(request: EmbeddingRequest, facts: Facts = _OPENAI) -> WireRequest:
    """Ask for base64 where the server knows it: a third of the bytes of a list of numbers.

    `float` is every server's default, and is left out: some refuse the field itself.
    """
    payload: WireRequest = {"model": request.model or "", "input": list(request.texts)}
    if facts.embedding_encoding != "float":
        payload["encoding_format"] = facts.embedding_encoding
    return payload


def read_answer(
    body: bytes, *, count: int, model: str, receipt: Receipt | None = None
) -> Embeddings:
    """The vectors in a body, or the error in it. `model` is the one that was asked.

    `receipt` gets the cost of vectors that cannot be read.
    """
    try:
        value = parsed(body, PROVIDER)
        raise_error_in(value, PROVIDER)
        answer = validated(EMBEDDING_LIST, value, PROVIDER)
        return embeddings_from_wire(answer, count, model=model)
    except MalformedAnswerError:
        note_usage(body, read_usage, receipt)
        raise


def embeddings_from_wire(answer: EmbeddingList, count: int, *, model: str = "") -> Embeddings:
    """Sort by index, and insist on one vector for each of `count` texts, all of one length.

    A vector without an index belongs to the text at its place. Raises `MalformedAnswerError` that names
    the field: a missing vector, or a number that is none, would not fail later, it would only find
    the wrong documents.
    """
    data = _by_index(answer.get("data") or [])
    if list(data) != list(range(count)):
        raise _malformed("data", f"does not have one vector for each of {count} texts")
    vectors = tuple(_vector(place, embedding) for place, embedding in data.items())
    if len({len(vector) for vector in vectors}) > 1:
        raise _malformed("data", "has vectors of different lengths")
    return Embeddings(
        model=answer.get("model") or model,
        vectors=vectors,
        prompt_tokens=_prompt_tokens(answer.get("usage") or {}),
    )


def _by_index(data: list[Embedding]) -> dict[int, Embedding]:
    """Empty when two vectors claim the same text."""
    indices = [e.get("index") for e in data]
    places = [at if index is None else index for at, index in enumerate(indices)]
    placed = dict(sorted(zip(places, data, strict=True), key=lambda item: item[0]))
    return placed if len(placed) == len(data) else {}


def _prompt_tokens(usage: EmbeddingUsage) -> int:
    """All tokens of an embedding are the prompt's."""
    prompt = usage.get("prompt_tokens")
    if prompt is None:
        prompt = usage.get("total_tokens")
    return counted(PROVIDER, prompt=prompt, completion=0).prompt_tokens


def _vector(index: int, embedding: Embedding) -> Vector:
    place, sent = f"data[{index}].embedding", embedding["embedding"]
    vector = _decoded(sent, place) if isinstance(sent, str) else array("d", sent)
    if not vector:
        raise _malformed(place, "is empty")
    return vector


def _decoded(text: str, place: str) -> "array[float]":
    try:
        vector = array("f", base64.b64decode(text, validate=True))
    except ValueError as error:
        raise _malformed(place, "is not 32-bit numbers in base64") from error
    if sys.byteorder == "big":
        vector.byteswap()
    # A sum of 32-bit numbers fits into 64 bits, and what is not finite stays in it. Asking each
    # number takes twice as long.
    if not math.isfinite(sum(vector)):
        raise _malformed(place, "has a number that is not finite")
    return vector


def _malformed(field: str, flaw: str) -> MalformedAnswerError:
    return malformed(PROVIDER, field, flaw)
