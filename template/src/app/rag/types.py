"""The values that pass between indexing, search and answering. Nothing here needs NumPy."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from app.errors import LLMError
from app.rag.chunks import Chunk


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """The model and dimension of vectors. Vectors of two spaces cannot be compared."""

    model: str
    dimension: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """A vector or an error for each text, in order. `model` is valid if there is a vector."""

    model: str
    items: Sequence[Sequence[float] | LLMError]


Embed = Callable[[Sequence[str]], Awaitable[Embedded]]


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk of a document, with the cosine of its vector and the question's vector."""

    chunk: Chunk
    score: float
