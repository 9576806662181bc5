"""Processes that share the documents of one store, for the contract tests.

A process is a library with an embedding model of its own. Each store is one class.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr
from redis.asyncio import Redis

from app.rag.library import Library
from app.rag.policy import DocumentsPolicy
from app.rag.searchable import Searchable
from app.rag.shared.library import SharedLibrary, opened
from app.rag.shared.redis.index import RedisIndex
from app.rag.shared.redis.store import DocumentStore
from app.rag.types import Embed
from app.redis.client import SharedRedis


class Store(Protocol):
    """Opens processes on one store."""

    is_shared: bool

    def process(
        self, folder: Path, embed: Embed, *, name: str = "app"
    ) -> AbstractAsyncContextManager[Searchable]: ...


class SharedStore(Protocol):
    """A store of several processes. One without a folder only searches."""

    is_shared: bool

    def process(
        self, folder: Path | None, embed: Embed, *, name: str = "app"
    ) -> AbstractAsyncContextManager[SharedLibrary]: ...


@dataclass
class MemoryStore:
    """The vectors are in each process, and in a file between two of them."""

    path: Path
    is_shared: bool = False

    @asynccontextmanager
    async def process(
        self, folder: Path, embed: Embed, *, name: str = "app"
    ) -> AsyncIterator[Searchable]:
        policy = DocumentsPolicy(dir=folder, index_path=self.path / name)
        async with aclosing(Library(policy, embed)) as library:
            yield library


@dataclass
class RedisStore:
    """All processes share one Redis."""

    connect: Callable[[], AbstractAsyncContextManager[Redis]]
    prefix: str = "test"
    is_shared: bool = True
    opened: list[SharedRedis] = field(default_factory=list)

    @asynccontextmanager
    async def process(
        self, folder: Path | None, embed: Embed, *, name: str = "app"
    ) -> AsyncIterator[SharedLibrary]:
        async with (
            self.connect() as client,
            aclosing(SharedRedis(client, f"{self.prefix}-{name}")) as redis,
        ):
            self.opened.append(redis)
            index = RedisIndex(DocumentStore(redis))
            async with opened(DocumentsPolicy(store="redis", dir=folder), embed, index) as library:
                yield library


@dataclass
class PostgresStore:
    """All processes share one database."""

    url: str
    prefix: str = "test"
    is_shared: bool = True

    @asynccontextmanager
    async def process(
        self, folder: Path | None, embed: Embed, *, name: str = "app"
    ) -> AsyncIterator[SharedLibrary]:
        # Of the extra `postgres`.
        from app.rag.shared.postgres.opening import open_postgres_library  # noqa: PLC0415

        policy = DocumentsPolicy(
            store="postgres",
            dir=folder,
            postgres_url=SecretStr(self.url),
            postgres_prefix=f"{self.prefix}-{name}",
            postgres_timeout_s=30,  # a busy machine is no outage
        )
        async with open_postgres_library(policy, embed) as library:
            yield library
