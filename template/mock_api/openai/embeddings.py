"""Embeddings, in OpenAI's two encodings."""

import base64
import struct

from mock_api import tokens, vectors
from mock_api.openai.requests import EmbeddingRequest
from mock_api.openai.wire import Embedding, EmbeddingList
from mock_api.refusal import RefusalError

_DIMENSIONS = {"text-embedding-3-large": 3072}
_DEFAULT_DIMENSIONS = 1536


def answer(request: EmbeddingRequest) -> EmbeddingList:
    size = _size(request)
    used = sum(_count(item) for item in request.input)
    return {
        "object": "list",
        "data": [
            _embedding(index, vectors.embed(_words(item), size), request.encoding_format)
            for index, item in enumerate(request.input)
        ],
        "model": request.model,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _size(request: EmbeddingRequest) -> int:
    native = _DIMENSIONS.get(request.model, _DEFAULT_DIMENSIONS)
    if request.dimensions is not None and request.dimensions > native:
        raise RefusalError(
            400, f"this model has {native}", field=("dimensions",), code="invalid_value"
        )
    return request.dimensions or native


def _embedding(index: int, vector: list[float], encoding: str) -> Embedding:
    packed = struct.pack(f"<{len(vector)}f", *vector)
    value = _floats(packed) if encoding == "float" else base64.b64encode(packed).decode()
    return {"object": "embedding", "index": index, "embedding": value}


def _floats(packed: bytes) -> list[float]:
    """The 32-bit numbers, which both encodings contain."""
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))


def _words(item: str | list[int]) -> list[str]:
    return vectors.words_of(item) if isinstance(item, str) else [str(token) for token in item]


def _count(item: str | list[int]) -> int:
    return max(1, tokens.count(item)) if isinstance(item, str) else len(item)
