"""Any number of texts into vectors: in calls of a size that providers take, a few at a time.

One bad text costs only itself: a call that the provider refuses is made again in halves, until the
bad text stands alone. Finding one of n takes 2·log2(n) more calls, and refused calls cost nothing.
What succeeded is never asked again. Other failures are not tried again here: the guards of the
model below have done that.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from app.errors import LLMError, RequestRefused, UnsupportedRequest
from app.llm.model import EmbeddingModel
from app.llm.types import EmbeddingRequest, Embeddings, Vector
from app.resilience.concurrency import run_all

# OpenAI takes 2,048 texts. Of the largest vectors (3,072 numbers, as text) 128 are 8 MB, half of
# what `HTTPPolicy` lets an answer have.
MAX_TEXTS = 128
# OpenAI takes 300,000 tokens, and no token is shorter than a byte.
MAX_BYTES = 300_000

Chunk = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Each text's vector or its error, in order."""

    model: str
    items: tuple[Vector | LLMError, ...]


class EmbeddingBatches:
    """`limit` is the number of calls that one batch makes at the same time."""

    def __init__(self, model: EmbeddingModel, *, limit: int) -> None:
        self._model = model
        self._limit = limit

    async def embed(self, texts: Sequence[str]) -> EmbeddedBatch:
        """Embed at least one text; equal ones once.

        Raises an `LLMError` when not a single text got its vector.
        """
        batch = _Batch()
        chunks = list(_chunks(dict.fromkeys(texts)))
        while chunks:
            answers = await run_all(chunks, self._ask, limit=self._limit, catch=LLMError)
            refused = [
                chunk
                for chunk, answer in zip(chunks, answers, strict=True)
                if not batch.settle(chunk, answer)
            ]
            chunks = [half for chunk in refused for half in _halves(chunk)]
        return batch.result(texts)

    async def _ask(self, chunk: Chunk) -> Embeddings:
        return await self._model.embed(EmbeddingRequest(chunk))


class _Batch:
    """What is known of each text so far."""

    def __init__(self) -> None:
        self._model: str | None = None
        self._vectors: dict[str, Vector] = {}
        self._errors: dict[str, LLMError] = {}

    def settle(self, chunk: Chunk, answer: Embeddings | LLMError) -> bool:
        """Say whether that was the last word on these texts."""
        if isinstance(answer, Embeddings):
            self._model = answer.model
            self._vectors.update(zip(chunk, answer.vectors, strict=True))
        elif len(chunk) > 1 and _may_be_one_text(answer):
            return False
        else:
            self._errors.update(dict.fromkeys(chunk, answer))
        return True

    def result(self, texts: Sequence[str]) -> EmbeddedBatch:
        if self._model is None:
            raise _main_cause(tuple(self._errors.values()))
        known: dict[str, Vector | LLMError] = {**self._errors, **self._vectors}
        return EmbeddedBatch(self._model, tuple(known[text] for text in texts))


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


def _may_be_one_text(error: LLMError) -> bool:
    """What a provider does not offer at all, it offers for no half either."""
    return isinstance(error, RequestRefused) and not isinstance(error, UnsupportedRequest)


def _main_cause(errors: Sequence[LLMError]) -> LLMError:
    """A bad text among the others does not hide the outage."""
    return next((error for error in errors if not isinstance(error, RequestRefused)), errors[0])
