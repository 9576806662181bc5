"""OpenAI's embeddings as they travel."""

from typing import Literal

from pydantic import FiniteFloat, NonNegativeInt
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from app.llm.providers.boundary import adapter


class EmbeddingRequest(TypedDict):
    model: str
    input: list[str]
    encoding_format: Literal["base64"]


class Embedding(TypedDict):
    """`embedding` is 32-bit numbers in base64, or a list: some compatible servers know only that."""

    object: Literal["embedding"]
    index: NonNegativeInt
    embedding: str | list[FiniteFloat]


class EmbeddingUsage(TypedDict):
    prompt_tokens: NonNegativeInt
    total_tokens: NonNegativeInt


class EmbeddingList(TypedDict):
    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage


EMBEDDING_LIST = adapter(EmbeddingList)
