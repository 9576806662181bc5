"""Searches the index that the processes share: a vector set of Redis 8.

For each space there are

- `vectors`: the vector set. An element is named by the key of its text, so equal texts are one.
- `texts`: the text of each element, also of those that are not published yet.
- `ids:N`: the ids of the chunks with this text, of generation N. This hash is the list of elements
  that a search may return.
- `published`: the generation that searches use. Writing this key switches to it.

Each element has the generation that added it as an attribute. The set may contain more elements than
the published generation: those of a build that runs or was broken off, and removed ones. A search
drops them; it asks again, with a filter, only if fewer than k remain.

The search is approximate (HNSW, vectors of 8 bits): `make bench ARGS=stores` measures its recall.
Source: https://redis.io/docs/latest/develop/data-types/vector-sets/
"""

import json
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, cast

import structlog

from app.rag.shared.index import Found, Published, named
from app.rag.shared.lease import Lease
from app.rag.shared.redis.build import RedisBuild
from app.rag.shared.redis.store import DocumentStore, RedisLease, as_bytes
from app.rag.types import EmbeddingSpace, ScoredChunk

_log = structlog.get_logger(__name__)

_MORE = 4
# Enough for the nearest ones of any generation: the filter is used only while a build is unfinished.
_FILTER_EFFORT = "100000"

# Delete a value only if it is still there.
_FORGET = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


@dataclass(frozen=True, slots=True)
class _Element:
    key: str
    score: float
    text: str
    ids: Sequence[str]


class RedisIndex:
    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self._lease = RedisLease(store)

    async def is_available(self) -> bool:
        return await self._store.is_available()

    def lease(self) -> AbstractAsyncContextManager[str | None]:
        return Lease(self._lease).held()

    async def begin(self, token: str, space: EmbeddingSpace) -> RedisBuild:
        return await RedisBuild.begin(self._store, self._lease.key, token, space)

    async def published(
        self, space: EmbeddingSpace
    ) -> tuple[Published | None, EmbeddingSpace | None]:
        """The published generation of a space, and the space that was published last."""
        return _states(
            await self._store.read(lambda: self._store.client.mget(self._states_keys(space)))
        )

    async def current(self) -> EmbeddingSpace | None:
        key = self._store.key("current")
        value = await self._store.read(lambda: self._store.client.get(key))
        return None if value is None else EmbeddingSpace(*json.loads(value))

    async def nearest(self, space: EmbeddingSpace, vector: Sequence[float], k: int) -> Found:
        """The k chunks nearest to a vector, in two round trips.

        One round trip would need a script, and VSIM in a script runs on the one thread of Redis,
        which all limits and caches wait for. Outside of one it has a thread of its own.
        """
        state, current, near = await self._begun(space, vector, k)
        if state is None:
            return Found(None, current)
        return Found(state, current, await self._found(space, state, vector, k, near))

    async def _begun(
        self, space: EmbeddingSpace, vector: Sequence[float], k: int
    ) -> tuple[Published | None, EmbeddingSpace | None, dict[bytes, float]]:
        async def ask() -> list[Any]:
            async with self._store.client.pipeline(transaction=False) as pipe:
                for key in self._states_keys(space):  # a pipeline of a cluster has no MGET
                    pipe.get(key)
                pipe.execute_command(*self._vsim(space, vector, k))
                return await pipe.execute()

        *states, near = await self._store.read(ask)
        return *_states(states), _scores(near)

    async def _found(
        self,
        space: EmbeddingSpace,
        state: Published,
        vector: Sequence[float],
        k: int,
        near: dict[bytes, float],
    ) -> list[ScoredChunk] | None:
        """The chunks of the nearest elements; `None` if another generation has been published.

        If a part of the index is missing, for example because Redis has evicted it, the generation
        is withdrawn: the next search builds the index again.
        """
        count = k
        while True:
            found = await self._elements(space, state, near)
            if found is None:
                return None
            if len(found) >= min(k, state.texts):
                return _chunks(found, k)
            if len(near) < count:
                break
            count *= _MORE
            near = await self._near(space, state, vector, count)
        if await self._is_incomplete(space, state):
            await self._withdraw(space, state)
            return None
        return _chunks(found, k)

    async def _near(
        self, space: EmbeddingSpace, state: Published, vector: Sequence[float], count: int
    ) -> dict[bytes, float]:
        """More elements, and only those of the generation."""
        filters = ["FILTER", f".since <= {state.generation}", "FILTER-EF", _FILTER_EFFORT]
        command = [*self._vsim(space, vector, count), *filters]

        async def ask() -> object:
            return await cast("Awaitable[object]", self._store.client.execute_command(*command))  # type: ignore[no-untyped-call]

        return _scores(await self._store.read(ask))

    def _vsim(
        self, space: EmbeddingSpace, vector: Sequence[float], count: int
    ) -> list[str | bytes]:
        """The command. redis-py's own method fails if there is no such set."""
        key = self._store.key_of(space, "vectors")
        return ["VSIM", key, "FP32", as_bytes(vector), "WITHSCORES", "COUNT", str(count)]

    def _states_keys(self, space: EmbeddingSpace) -> list[str]:
        return [self._store.key_of(space, "published"), self._store.key("current")]

    async def _elements(
        self, space: EmbeddingSpace, state: Published, near: Mapping[bytes, float]
    ) -> list[_Element] | None:
        """The elements of the generation, best first; `None` if it is no longer published."""
        keys = [key.decode() for key in sorted(near, key=near.__getitem__, reverse=True)]

        async def ask() -> list[Any]:
            async with self._store.client.pipeline(transaction=True) as pipe:
                pipe.get(self._store.key_of(space, "published"))
                if keys:
                    pipe.hmget(self._store.key_of(space, "ids", str(state.generation)), keys)
                    pipe.hmget(self._store.key_of(space, "texts"), keys)
                return await pipe.execute()

        published, *columns = await self._store.read(ask)
        if Published.decode(published) != state:
            return None
        ids, texts = columns or ([], [])
        return [
            # From the distance, in [0, 1], to the cosine.
            _Element(key, 2 * near[key.encode()] - 1, text.decode(), json.loads(names))
            for key, names, text in zip(keys, ids, texts, strict=True)
            if names is not None and text is not None
        ]

    async def _is_incomplete(self, space: EmbeddingSpace, state: Published) -> bool:
        async def ask() -> list[int]:
            async with self._store.client.pipeline(transaction=True) as pipe:
                pipe.execute_command("VCARD", self._store.key_of(space, "vectors"))
                pipe.hlen(self._store.key_of(space, "texts"))
                pipe.hlen(self._store.key_of(space, "ids", str(state.generation)))
                return await pipe.execute()

        return min(await self._store.read(ask)) < state.texts

    async def _withdraw(self, space: EmbeddingSpace, state: Published) -> None:
        _log.warning("retrieval.index_lost", model=space.model, dimension=space.dimension)
        key = self._store.key_of(space, "published")
        forget = self._store.client.register_script(_FORGET)
        await self._store.write(lambda: forget(keys=[key], args=[state.encode()]))


def _states(
    values: Sequence[bytes | str | None],
) -> tuple[Published | None, EmbeddingSpace | None]:
    published, current = values
    return Published.decode(published), (
        None if current is None else EmbeddingSpace(*json.loads(current))
    )


def _scores(answer: object) -> dict[bytes, float]:
    """The scores by element: a map in version 3 of Redis' protocol, else pairs in one list."""
    if isinstance(answer, dict):
        return answer
    flat = cast("list[bytes]", answer)
    return {key: float(score) for key, score in zip(flat[::2], flat[1::2], strict=True)}


def _chunks(elements: Sequence[_Element], k: int) -> list[ScoredChunk]:
    found = [named(element.text, element.ids, element.score) for element in elements]
    return [chunk for chunks in found for chunk in chunks][:k]
