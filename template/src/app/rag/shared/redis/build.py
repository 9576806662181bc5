"""Writes the index that the processes share. Each step can be repeated, and continued by another process.

Vectors of a build are added beside those that searches use. One script publishes all of them, if the
builder still has the lease. Elements that are no longer used are removed afterwards.
"""

import asyncio
import json
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from functools import partial
from typing import cast

from app.errors import DocumentsNotReadyError
from app.rag.chunks import Chunk
from app.rag.shared.index import MODEL_LASTS_S, OTHER_SPACE_S, Published, batches, spelled
from app.rag.shared.patience import patiently
from app.rag.shared.redis.store import DocumentStore, as_bytes
from app.rag.types import EmbeddingSpace
from app.resilience.concurrency import gather_bounded

# Adding a vector to 10,000 others takes Redis 3 ms, on a busy machine 20, and a call must end within
# 0.5 s: a call that times out begins an outage for all users of this Redis. Calls on several
# connections search for neighbours in threads of their own.
_VECTORS_AT_ONCE = 2
_CALLS_AT_ONCE = 4
_REMOVED_AT_ONCE = 4
_KEYS_AT_ONCE = 500
# A list of ids that is never published expires; a search that has begun still finds its own.
_UNPUBLISHED_S = 3600
_OUTDATED_S = 60

_PUBLISH = """
local lease, published, ids, outdated, current = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if redis.call('GET', lease) ~= ARGV[1] then return 0 end
redis.call('PERSIST', ids)
if outdated ~= ids then redis.call('EXPIRE', outdated, ARGV[4]) end
redis.call('SET', published, ARGV[2])
redis.call('SET', current, ARGV[3])
return 1
"""

# A script, because a cluster has no transaction with TIME. A counter instead of the time could be
# evicted, and begin again.
_BEGIN = """
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PERSIST', KEYS[2])
redis.call('PERSIST', KEYS[3])
local clock = redis.call('TIME')
return clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

# Redis 8.0 has no command that asks for membership, but each element has an attribute.
_HAVE = """
local found = {}
for i, name in ipairs(ARGV) do
    local has_vector = redis.call('VGETATTR', KEYS[1], name)
    found[i] = has_vector and redis.call('HEXISTS', KEYS[2], name) or 0
end
return found
"""

# Vectors first: if the removal is broken off, the list of texts still has the name of the element.
_REMOVE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #ARGV do
    redis.call('VREM', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
end
return 1
"""


class RedisBuild:
    """One generation of the index of one space, made by the holder of the lease."""

    def __init__(
        self,
        store: DocumentStore,
        lease_key: str,
        token: str,
        space: EmbeddingSpace,
        number: int,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.space = space
        self._sleep = sleep
        self._store = store
        self._lease_key = lease_key
        self._token = token
        self._number = number
        self._publishing = store.client.register_script(_PUBLISH)
        self._removing = store.client.register_script(_REMOVE)
        self._having = store.client.register_script(_HAVE)

    @classmethod
    async def begin(
        cls, store: DocumentStore, lease_key: str, token: str, space: EmbeddingSpace
    ) -> "RedisBuild":
        """Begin a new generation. The vectors that the space has already do not expire any more.

        Its number is the time of Redis in milliseconds.
        """
        keys = [store.key("spaces"), *(store.key_of(space, kind) for kind in ("vectors", "texts"))]
        beginning = store.client.register_script(_BEGIN)
        number = await store.write(lambda: beginning(keys=keys, args=[spelled(space)]))
        return cls(store, lease_key, token, space, int(number))

    async def known(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that have a text and a vector: Redis may have evicted either of them."""
        known = set[str]()
        for some in batches(keys, _KEYS_AT_ONCE):
            found = await self._store.read(partial(self._have, some))
            known.update(key for key, is_known in zip(some, found, strict=True) if is_known)
        return known

    async def _have(self, keys: Sequence[str]) -> list[int]:
        return cast("list[int]", await self._having(keys=[self._vectors, self._texts], args=keys))

    async def add(self, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]) -> None:
        """Store texts, and then their vectors. No search finds them before `publish`."""
        attributes = json.dumps({"since": self._number})

        async def ask(some: Sequence[tuple[Chunk, Sequence[float]]]) -> object:
            async with self._store.client.pipeline(transaction=False) as pipe:
                pipe.hset(self._texts, mapping={chunk.key: chunk.text for chunk, _ in some})
                for chunk, vector in some:
                    # CAS: a thread of Redis searches for the neighbours, and other calls go on.
                    pipe.execute_command(
                        *("VADD", self._vectors, "FP32", as_bytes(vector), chunk.key),
                        *("CAS", "SETATTR", attributes),
                    )
                return await pipe.execute()

        async def store(some: Sequence[tuple[Chunk, Sequence[float]]]) -> None:
            await patiently(lambda: self._store.write(partial(ask, some)), self._sleep)

        some = batches(list(zip(chunks, vectors, strict=True)), _VECTORS_AT_ONCE)
        stored = await gather_bounded(
            some, store, limit=_CALLS_AT_ONCE, catch=DocumentsNotReadyError
        )
        for each in stored:
            if each is not None:
                raise each

    async def publish(self, ids: Mapping[str, Sequence[str]], fingerprint: str) -> None:
        """Switch searches to this generation, and remove the elements that are not in `ids`.

        Raises `DocumentsNotReadyError` if the lease was lost: another process builds.
        """
        await self._list(ids)
        state = Published(self._number, fingerprint, len(ids))
        outdated = await self._state(self._published) or state
        keys = [
            *(self._lease_key, self._published),
            *(self._ids(state), self._ids(outdated), self._store.key("current")),
        ]
        arguments = [self._token, state.encode(), spelled(self.space), str(_OUTDATED_S)]
        done = await self._store.write(lambda: self._publishing(keys=keys, args=arguments))
        if not done:
            raise DocumentsNotReadyError(
                "Another process has begun to build the index.", retry_after_s=1.0
            )
        await self._remove_all_but(ids)
        await self._let_others_expire()

    async def allow_model(self) -> None:
        """Raises `DocumentsNotReadyError` if the embedding model changed a short time ago."""
        key, name = self._store.key("model-changed"), self._vectors
        setting = self._store.client.set
        before = await self._store.write(
            lambda: setting(key, name, nx=True, get=True, ex=MODEL_LASTS_S)
        )
        if isinstance(before, bytes) and before.decode() != name:
            raise DocumentsNotReadyError(
                "Several embedding models answer in turn.", retry_after_s=1.0
            )

    async def _list(self, ids: Mapping[str, Sequence[str]]) -> None:
        key = self._store.key_of(self.space, "ids", str(self._number))
        for some in batches(ids, _KEYS_AT_ONCE):

            async def ask(some: Sequence[str] = some) -> object:
                async with self._store.client.pipeline(transaction=True) as pipe:
                    pipe.hset(key, mapping={name: json.dumps(ids[name]) for name in some})
                    pipe.expire(key, _UNPUBLISHED_S)
                    return await pipe.execute()

            await self._store.write(ask)

    async def _remove_all_but(self, ids: Collection[str]) -> None:
        keys = [self._lease_key, self._vectors, self._texts]
        async for stored in self._stored():
            for some in batches([key for key in stored if key not in ids], _REMOVED_AT_ONCE):

                async def ask(some: Sequence[str] = some) -> object:
                    return await self._removing(keys=keys, args=[self._token, *some])

                await self._store.write(ask)

    async def _stored(self) -> AsyncIterator[list[str]]:
        cursor = 0
        while True:
            cursor, keys = await self._store.read(partial(self._scan, cursor))
            yield [key.decode() for key in keys]
            if cursor == 0:
                return

    async def _scan(self, cursor: int) -> tuple[int, list[bytes]]:
        found = await self._store.client.hscan(
            self._texts, cursor, count=_KEYS_AT_ONCE, no_values=True
        )
        return cast("tuple[int, list[bytes]]", found)

    async def _state(self, published: str) -> Published | None:
        client = self._store.client
        return Published.decode(await self._store.read(lambda: client.get(published)))

    async def _let_others_expire(self) -> None:
        spaces = await self._store.read(
            lambda: self._store.client.smembers(self._store.key("spaces"))
        )
        for space in (EmbeddingSpace(*json.loads(each)) for each in spaces):
            if space != self.space:
                await self._expire(space)

    async def _expire(self, space: EmbeddingSpace) -> None:
        published = self._store.key_of(space, "published")
        state = await self._state(published)
        keys = [published, *(self._store.key_of(space, kind) for kind in ("vectors", "texts"))]
        if state is not None:
            keys.append(self._store.key_of(space, "ids", str(state.generation)))

        async def ask() -> object:
            async with self._store.client.pipeline(transaction=True) as pipe:
                for key in keys:
                    pipe.expire(key, OTHER_SPACE_S, nx=True)
                return await pipe.execute()

        await self._store.write(ask)

    @property
    def _published(self) -> str:
        return self._store.key_of(self.space, "published")

    @property
    def _vectors(self) -> str:
        return self._store.key_of(self.space, "vectors")

    @property
    def _texts(self) -> str:
        return self._store.key_of(self.space, "texts")

    def _ids(self, state: Published) -> str:
        return self._store.key_of(self.space, "ids", str(state.generation))
