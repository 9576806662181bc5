"""Vectors in OpenAI's format, written in pieces."""

import base64
import struct
from collections.abc import AsyncGenerator, Iterator, Sequence
from itertools import islice
from typing import Literal

import orjson

from app.errors import LLMError
from app.llm.embedding_batches import EmbeddedBatch
from app.llm.types import Vector

_ITEMS_PER_WRITE = 16

Encoding = Literal["float", "base64"]


def written(batch: EmbeddedBatch, encoding: Encoding) -> AsyncGenerator[bytes, None]:
    """Encode the vectors a few at a time. Raises the first error: OpenAI's format has none per text."""
    return _pieces(batch, [_vector(item) for item in batch.items], encoding)


def _vector(item: Vector | LLMError) -> Vector:
    if isinstance(item, LLMError):
        raise item
    return item


async def _pieces(
    batch: EmbeddedBatch, vectors: Sequence[Vector], encoding: Encoding
) -> AsyncGenerator[bytes, None]:
    items: Iterator[bytes] = (
        _item(index, vector, encoding) for index, vector in enumerate(vectors)
    )
    usage = {"prompt_tokens": batch.prompt_tokens, "total_tokens": batch.prompt_tokens}
    head = orjson.dumps({"object": "list", "model": batch.model, "usage": usage})
    yield head[:-1] + b',"data":[' + next(items)
    while piece := list(islice(items, _ITEMS_PER_WRITE)):
        yield b"," + b",".join(piece)
    yield b"]}"


def _item(index: int, vector: Vector, encoding: Encoding) -> bytes:
    embedding = list(vector) if encoding == "float" else _base64(vector)
    return orjson.dumps({"object": "embedding", "index": index, "embedding": embedding})


def _base64(vector: Vector) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
