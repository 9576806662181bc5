"""What a store offers that keeps one index for all processes: searches, a lease, and builds.

`app.rag.shared.library` searches such an index and `app.rag.shared.indexing` builds it; `redis` and
`postgres` are the stores. Each method raises `DocumentsNotReadyError` if the store does not answer.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice
from typing import Protocol, TypeVar

import structlog

from app.errors import StartRefusedError
from app.rag.chunks import Chunk
from app.rag.types import EmbeddingSpace, ScoredChunk

_log = structlog.get_logger(__name__)

T = TypeVar("T")

# The processes of the version before may still search the space of the model before.
OTHER_SPACE_S = 3600
# The minimum time between two times of embedding all documents because the model has changed.
# Behind some gateways models alternate. Both of two models keep their vectors; a third one waits.
MODEL_LASTS_S = 600


class StoreUnusableError(StartRefusedError):
    """The store answers, and lacks vectors."""


@dataclass(frozen=True, slots=True)
class Published:
    """The generation that a search of one space uses, with the number of its different texts."""

    generation: int
    fingerprint: str
    texts: int

    def encode(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, value: bytes | str | None) -> "Published | None":
        return None if value is None else cls(**json.loads(value))


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found in one space, and what was published when it began.

    `chunks` is `None` if nothing is published in the space, or if it was lost or replaced during
    the search. `current` is the space that was published last.
    """

    state: Published | None
    current: EmbeddingSpace | None
    chunks: list[ScoredChunk] | None = None


class Build(Protocol):
    """One generation of the index of one space, made by the holder of the lease."""

    space: EmbeddingSpace

    async def allow_model(self) -> None:
        """Raises `DocumentsNotReadyError` if the embedding model changed a short time ago."""
        ...

    async def known(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that have a text and a vector in the store."""
        ...

    async def add(self, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]) -> None:
        """Store texts and their vectors. No search finds them before `publish`."""
        ...

    async def publish(self, ids: Mapping[str, Sequence[str]], fingerprint: str) -> None:
        """Switch searches to this generation, and remove the chunks that are not in `ids`.

        Raises `DocumentsNotReadyError` if the lease was lost: another process builds.
        """
        ...


class SharedIndex(Protocol):
    async def is_available(self) -> bool: ...

    async def published(
        self, space: EmbeddingSpace
    ) -> tuple[Published | None, EmbeddingSpace | None]:
        """The published generation of a space, and the space that was published last."""
        ...

    async def current(self) -> EmbeddingSpace | None:
        """The space that was published last."""
        ...

    async def nearest(self, space: EmbeddingSpace, vector: Sequence[float], k: int) -> Found:
        """The k chunks nearest to a vector, in as few round trips as the store allows."""
        ...

    def lease(self) -> AbstractAsyncContextManager[str | None]:
        """Take the lease for the block, and yield its token; `None` if another process has it."""
        ...

    async def begin(self, token: str, space: EmbeddingSpace) -> Build:
        """Begin a new generation. Vectors that the space has already do not expire any more."""
        ...


def unusable(reason: str) -> StoreUnusableError:
    _log.error("retrieval.store_unusable", reason=reason)
    return StoreUnusableError(reason)


def spelled(space: EmbeddingSpace) -> str:
    return json.dumps([space.model, space.dimension])


def tag(*names: str) -> str:
    """A short name in the store, for example of a space: vectors of two models are never together."""
    return sha256("\0".join(names).encode()).hexdigest()[:16]


def batches(items: Collection[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def named(text: str, ids: Sequence[str], score: float) -> list[ScoredChunk]:
    """Equal texts are stored once: a chunk for each of their names."""
    return [ScoredChunk(Chunk(name, text), score) for name in ids]
