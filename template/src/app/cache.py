"""Caches of bytes by key: the protocol, a cache in memory, and one that stores nothing.

The cache that processes share is in `app.redis.cache`.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

_LARGEST_SHARE = 8


class Cache(Protocol):
    """A cache of bytes by key, with a lifetime. A cache never raises: an error is a miss."""

    async def get(self, key: str) -> bytes | None: ...

    async def set(self, key: str, value: bytes, ttl_s: float) -> None: ...

    async def ping(self) -> bool:
        """Whether the cache works at the moment."""
        ...

    async def aclose(self) -> None: ...


class NoCache:
    """A cache that stores nothing: caching is off, and callers need no `if`."""

    async def get(self, key: str) -> bytes | None:  # noqa: ARG002 - the protocol's parameter
        return None

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        pass

    async def ping(self) -> bool:
        return True

    async def aclose(self) -> None:
        pass


class MemoryCache:
    """An in-memory cache that evicts the least recently used entries first.

    The number of entries and their total size are limited: a thousand answers of some megabytes
    would be gigabytes. A value larger than an eighth of the total size is not stored, because it
    would evict too many others.
    """

    def __init__(
        self,
        *,
        max_entries: int = 10_000,
        max_bytes: int = 64 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0

    async def get(self, key: str) -> bytes | None:
        expires, value = self._entries.get(key, (0.0, None))
        if value is None:
            return None
        if expires <= self._clock():
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return value

    async def set(self, key: str, value: bytes, ttl_s: float) -> None:
        if key in self._entries:
            self._drop(key)
        if len(value) > self._max_bytes // _LARGEST_SHARE:
            return
        self._entries[key] = (self._clock() + ttl_s, value)
        self._bytes += len(value)
        while len(self._entries) > self._max_entries or self._bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    async def ping(self) -> bool:
        return True

    async def aclose(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def _drop(self, key: str) -> None:
        _, value = self._entries.pop(key, (0.0, b""))
        self._bytes -= len(value)
