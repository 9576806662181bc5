"""Any number of texts into vectors: in calls of a size that providers take, a few at a time.

One bad text costs only itself: a call that the provider refuses is made again in halves, until the
bad text stands alone. Finding one of n takes 2·log2(n) more calls, and refused calls cost nothing.
What succeeded is never asked again. Other failures are not tried again here: the guards of the
model below have done that.

All vectors of a batch are of one space: one model and one dimension. Vectors of two spaces cannot be
compared, and a server that is changing its model, or a gateway to two models, may send both. Then one
space is chosen, the other texts are asked for once more, and those that miss it again have an error.
"""

import asyncio
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from sys import getsizeof

from app.errors import (
    LLMError,
    MalformedAnswerError,
    ProviderUnavailableError,
    RequestRefusedError,
    UnsupportedRequestError,
)
from app.llm.model import EmbeddingModel
from app.llm.types import EmbeddingRequest, Embeddings, Vector
from app.resilience.concurrency import gather_bounded

# OpenAI takes 2,048 texts. Of the largest vectors (3,072 numbers, as text) 128 are 8 MB, half of
# what `HTTPPolicy` lets an answer have.
MAX_TEXTS = 128
# OpenAI takes 300,000 tokens, and no token is shorter than a byte.
MAX_BYTES = 300_000

# Larger calls share the `limit` of `EmbeddingBatches`. A question has one text, and must not wait for
# the calls of a batch.
_LARGE_CALL = 16

# The bytes of a vector are those of the last one. The first is assumed to be OpenAI's largest.
_FIRST_VECTOR_BYTES = 3072 * 4
# An entry in a dictionary, and the objects of a text and of a vector.
_BYTES_PER_TEXT = 400

Chunk = tuple[str, ...]
Space = tuple[str, int]  # a model and a dimension


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Each text's vector or its error, in order."""

    model: str
    items: tuple[Vector | LLMError, ...]
    prompt_tokens: int = 0  # as far as the provider reports them


class EmbeddingBatches:
    """`limit` is the number of calls that all batches make at the same time: each holds an answer.

    `provider` is the first provider with embeddings, which gets all calls, and `address` its
    address: stored vectors belong to it.

    Where a batch has answers of several spaces, that of the last batch is preferred, so that vectors
    of two batches can be compared where that is possible.
    """

    def __init__(
        self, model: EmbeddingModel, *, limit: int, provider: str = "", address: str = ""
    ) -> None:
        self.provider = provider
        self.address = address
        self._model = model
        self._limit = limit
        self._space: Space | None = None
        self._vector_bytes = _FIRST_VECTOR_BYTES
        self._large_calls = asyncio.Semaphore(limit)

    def bytes_for(self, count: int) -> int:
        """Estimate the memory that a batch of `count` texts takes."""
        return count * (self._vector_bytes + _BYTES_PER_TEXT)

    async def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embed one or more texts. Equal texts are sent once.

        Raises an `LLMError` if no text gets a vector.
        """
        if not texts:
            raise ValueError("there is no text to embed")
        batch = _Batch(self._model.name)
        await self._settle(batch, dict.fromkeys(texts))
        self._space = batch.choose_space(self._space)
        if others := batch.texts_of_other_spaces():
            await self._settle(batch, others)
        return batch.result(texts)

    async def _settle(self, batch: "_Batch", texts: Iterable[str]) -> None:
        chunks = list(_chunks(texts))
        while chunks:
            answers = await gather_bounded(chunks, self._ask, limit=self._limit, catch=LLMError)
            refused = [
                chunk
                for chunk, answer in zip(chunks, answers, strict=True)
                if not batch.settle(chunk, answer)
            ]
            chunks = [half for chunk in refused for half in _halves(chunk)]

    async def _ask(self, chunk: Chunk) -> Embeddings:
        request = EmbeddingRequest(chunk)
        if len(chunk) < _LARGE_CALL:
            return await self._model.embed(request)
        async with self._large_calls:
            answer = await self._model.embed(request)
        self._vector_bytes = getsizeof(answer.vectors[0])
        return answer


class _Batch:
    """What is known of each text so far."""

    def __init__(self, provider: str) -> None:
        self._provider = provider
        self._space: Space | None = None
        self._vectors: dict[Space, dict[str, Vector]] = {}
        self._errors: dict[str, LLMError] = {}
        self._prompt_tokens = 0

    def settle(self, chunk: Chunk, answer: Embeddings | LLMError) -> bool:
        """Say whether that was the last word on these texts."""
        if isinstance(answer, Embeddings):
            self._prompt_tokens += answer.prompt_tokens
            for text, vector in zip(chunk, answer.vectors, strict=True):
                self._keep(text, answer.model, vector)
        elif len(chunk) > 1 and _may_be_one_text(answer):
            return False
        else:
            self._errors.update(dict.fromkeys(chunk, answer))
        return True

    def _keep(self, text: str, model: str, vector: Vector) -> None:
        if _has_direction(vector):
            self._vectors.setdefault((model, len(vector)), {})[text] = vector
        else:
            message = "The model gave a vector of zeros, or one that is not finite"
            self._errors[text] = MalformedAnswerError(message, provider=self._provider)

    def choose_space(self, preferred: Space | None) -> Space | None:
        """Choose the preferred space if a text has a vector of it, or that of the most texts."""
        if preferred in self._vectors:
            self._space = preferred
        elif self._vectors:
            self._space = max(self._vectors, key=lambda space: len(self._vectors[space]))
        return self._space

    def texts_of_other_spaces(self) -> list[str]:
        return [
            text
            for space, vectors in self._vectors.items()
            for text in vectors
            if space != self._space
        ]

    def result(self, texts: Sequence[str]) -> EmbeddedBatch:
        if self._space is None:
            raise _main_cause(tuple(self._errors.values()))
        message = "The text was embedded by another model than the others; try again"
        other = ProviderUnavailableError(message, provider=self._provider)
        known: dict[str, Vector | LLMError] = {**self._errors, **self._vectors[self._space]}
        items = tuple(known.get(text, other) for text in texts)
        return EmbeddedBatch(self._space[0], items, self._prompt_tokens)


def _chunks(texts: Iterable[str]) -> Iterator[Chunk]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode("utf-8", "surrogatepass"))
        if chunk and (len(chunk) == MAX_TEXTS or size + length > MAX_BYTES):
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(text)
        size += length
    if chunk:
        yield tuple(chunk)


def _halves(chunk: Chunk) -> tuple[Chunk, Chunk]:
    middle = len(chunk) // 2
    return chunk[:middle], chunk[middle:]


def _has_direction(vector: Vector) -> bool:
    """Tell whether it can be compared: in 32 bits its numbers are finite, and not all zero."""
    numbers = array("f", vector)  # NumPy would do it too, and a chat service would not need it
    return any(numbers) and isfinite(sum(numbers))


def _may_be_one_text(error: LLMError) -> bool:
    """A provider without embeddings (405 and others) refuses each half too, at a call for each."""
    refused = isinstance(error, RequestRefusedError) and not isinstance(
        error, UnsupportedRequestError
    )
    return refused and error.status in _ABOUT_A_TEXT


_ABOUT_A_TEXT = {None, 400, 413, 422}


def _main_cause(errors: Sequence[LLMError]) -> LLMError:
    """A bad text among the others does not hide the outage."""
    return next(
        (error for error in errors if not isinstance(error, RequestRefusedError)), errors[0]
    )
