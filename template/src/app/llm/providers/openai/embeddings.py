"""Between OpenAI's embeddings and ours. No I/O."""

import base64
import math
import sys
from array import array

from app.errors import MalformedAnswer
from app.llm.providers.openai import embeddings_wire as wire
from app.llm.providers.openai.convert import PROVIDER
from app.llm.types import EmbeddingRequest, Embeddings, Vector


def request_to_wire(request: EmbeddingRequest, model: str) -> wire.EmbeddingRequest:
    """Ask for base64: a third of the bytes of a list of numbers, and nothing is rounded twice."""
    return {"model": model, "input": list(request.texts), "encoding_format": "base64"}


def embeddings_from_wire(answer: wire.EmbeddingList, count: int) -> Embeddings:
    """Sort by index, and insist on one vector for each of `count` texts, all of one length.

    Raises `MalformedAnswer` that names the field. A vector too few, or a number that is none, would
    not fail later: it would only find the wrong documents.
    """
    data = sorted(answer["data"], key=lambda embedding: embedding["index"])
    indices = [embedding["index"] for embedding in data]
    if indices != list(range(count)):
        raise _malformed("data", f"does not have one vector for each of {count} texts")
    vectors = tuple(_vector(embedding) for embedding in data)
    if len({len(vector) for vector in vectors}) > 1:
        raise _malformed("data", "has vectors of different lengths")
    return Embeddings(
        model=answer["model"], vectors=vectors, prompt_tokens=answer["usage"]["prompt_tokens"]
    )


def _vector(embedding: wire.Embedding) -> Vector:
    place, sent = f"data.{embedding['index']}.embedding", embedding["embedding"]
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


def _malformed(field: str, why: str) -> MalformedAnswer:
    return MalformedAnswer(f"{PROVIDER} sent a malformed answer: {field}: {why}", provider=PROVIDER)
