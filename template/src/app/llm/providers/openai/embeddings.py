"""Between OpenAI's embeddings and ours. No I/O."""

import base64
import math
import sys
from array import array

from app.errors import MalformedAnswerError
from app.llm.providers.answer import counted
from app.llm.providers.boundary import malformed, parsed, validated
from app.llm.providers.openai import wire
from app.llm.providers.openai.convert import PROVIDER
from app.llm.providers.policy import Facts
from app.llm.providers.reported import error_in
from app.llm.status import reported_error
from app.llm.types import EmbeddingRequest, Embeddings, Vector

_OPENAI = Facts()


def request_to_wire(request: EmbeddingRequest, facts: Facts = _OPENAI) -> wire.EmbeddingRequest:
    """Ask for base64 where the server knows it: a third of the bytes of a list of numbers.

    `float` is every server's default, and is left out: some refuse the field itself.
    """
    payload: wire.EmbeddingRequest = {"model": request.model or "", "input": list(request.texts)}
    if facts.embedding_encoding != "float":
        payload["encoding_format"] = facts.embedding_encoding
    return payload


def read_answer(body: bytes, *, count: int, model: str) -> Embeddings:
    """The vectors in a body, or the error in it. `model` is the one that was asked."""
    value = parsed(body, PROVIDER)
    if (error := error_in(value)) is not None:
        raise reported_error(error, provider=PROVIDER)
    answer = validated(wire.EMBEDDING_LIST, value, PROVIDER)
    return embeddings_from_wire(answer, count, model=model)


def embeddings_from_wire(answer: wire.EmbeddingList, count: int, *, model: str = "") -> Embeddings:
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


def _by_index(data: list[wire.Embedding]) -> dict[int, wire.Embedding]:
    """Empty when two vectors claim the same text."""
    indices = [e.get("index") for e in data]
    places = [at if index is None else index for at, index in enumerate(indices)]
    placed = dict(sorted(zip(places, data, strict=True), key=lambda item: item[0]))
    return placed if len(placed) == len(data) else {}


def _prompt_tokens(usage: wire.EmbeddingUsage) -> int:
    """All tokens of an embedding are the prompt's."""
    prompt = usage.get("prompt_tokens")
    if prompt is None:
        prompt = usage.get("total_tokens")
    return counted(PROVIDER, prompt=prompt, completion=0).prompt_tokens


def _vector(index: int, embedding: wire.Embedding) -> Vector:
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
