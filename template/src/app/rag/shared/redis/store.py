"""Calls Redis for the documents, and names their keys.

All keys have one hash tag, so a Redis cluster keeps them on one node and a script may use several.
The guard of `app.redis.client` decides whether Redis is asked at all.
"""

from array import array
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from app.backend import Shared
from app.errors import DocumentsNotReadyError
from app.rag.shared.index import spelled, tag
from app.rag.types import EmbeddingSpace

if TYPE_CHECKING:
    from redis.asyncio import Redis

T = TypeVar("T")

# An outage lasts for three seconds at least.
_TRY_AGAIN_S = 3.0


class DocumentStore:
    """The Redis that keeps the documents. Each call raises `DocumentsNotReadyError` if it fails."""

    def __init__(self, redis: Shared) -> None:
        self._redis = redis

    @property
    def client(self) -> "Redis":
        return self._redis.client

    def key(self, *parts: str) -> str:
        return self._redis.tagged("documents", *parts)

    def key_of(self, space: EmbeddingSpace, *parts: str) -> str:
        """A key of one space: vectors of two models are never in one set."""
        return self.key(tag(spelled(space)), *parts)

    async def is_available(self) -> bool:
        return await self._redis.check()

    async def read(self, ask: Callable[[], Awaitable[T]]) -> T:
        return _answer(await self._redis.read(_wrapped(ask), otherwise=None))

    async def write(self, ask: Callable[[], Awaitable[T]]) -> T:
        return _answer(await self._redis.write(_wrapped(ask), otherwise=None))


def _wrapped(ask: Callable[[], Awaitable[T]]) -> Callable[[], Awaitable[tuple[T] | None]]:
    """Distinguish the answer `None` from no answer."""

    async def answered() -> tuple[T] | None:
        return (await ask(),)

    return answered


def _answer(answered: tuple[T] | None) -> T:
    if answered is None:
        raise DocumentsNotReadyError(
            "Redis, which keeps the index of the documents, does not answer.",
            retry_after_s=_TRY_AGAIN_S,
        )
    return answered[0]


def as_bytes(vector: Sequence[float]) -> bytes:
    """A vector as 32-bit floats, in the order of this machine, which is that of Redis'."""
    return array("f", vector).tobytes()


_RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end"
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class RedisLease:
    """The token of the process that builds the index, as a key that expires."""

    def __init__(self, store: DocumentStore) -> None:
        self._store = store
        self.key = store.key("lease")
        self._renewing = store.client.register_script(_RENEW)
        self._releasing = store.client.register_script(_RELEASE)

    async def take(self, token: str, lease_s: float) -> bool:
        setting, lease_ms = self._store.client.set, int(lease_s * 1000)
        return bool(await self._store.write(lambda: setting(self.key, token, nx=True, px=lease_ms)))

    async def renew(self, token: str, lease_s: float) -> None:
        arguments: list[str | int] = [token, int(lease_s * 1000)]
        await self._store.write(lambda: self._renewing(keys=[self.key], args=arguments))

    async def release(self, token: str) -> None:
        await self._store.write(lambda: self._releasing(keys=[self.key], args=[token]))
