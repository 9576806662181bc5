"""The Redis of shared documents: the lease of the builder, an outage, a server without vector sets."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import fakeredis
import pytest
from redis.exceptions import ConnectionError as RedisDownError
from redis.exceptions import ResponseError

from app.errors import DocumentsNotReadyError
from app.rag.chunks import Chunk
from app.rag.policy import DocumentsPolicy
from app.rag.shared.index import StoreUnusableError
from app.rag.shared.lease import Lease
from app.rag.shared.library import SharedLibrary
from app.rag.shared.redis.build import RedisBuild
from app.rag.shared.redis.opening import open_redis_library
from app.rag.shared.redis.store import DocumentStore, RedisLease
from app.rag.types import EmbeddingSpace
from app.redis.client import SharedRedis
from app.testing import CapturedLogs
from tests.rag.bag_of_words import BagOfWords
from tests.rag.contract.processes import RedisStore
from tests.rag.contract.test_stores import ids

T = TypeVar("T")


async def test_a_lease_has_an_end_is_renewed_and_excludes_others(
    client: fakeredis.FakeAsyncRedis,
) -> None:
    wakes = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await wakes.wait()
        wakes.clear()

    keeper = RedisLease(DocumentStore(SharedRedis(client)))
    lease = Lease(keeper, lease_s=60, sleep=sleep)
    async with lease.held() as token, Lease(keeper).held() as other:
        assert token is not None
        assert other is None
        assert 0 < await client.pttl(keeper.key) <= 60_000
        await client.pexpire(keeper.key, 30_000)
        wakes.set()
        async with asyncio.timeout(10):
            while await client.pttl(keeper.key) <= 30_000:  # noqa: ASYNC110 - in another task
                await asyncio.sleep(0.001)
    assert not await client.exists(keeper.key)


class _Interrupted(SharedRedis):
    """A Redis with a number of failed writes."""

    failures = 0

    async def write(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T:
        self.failures -= 1
        return otherwise if self.failures >= 0 else await super().write(ask, otherwise=otherwise)


@pytest.mark.parametrize(
    ("failures", "is_stored"),
    [pytest.param(3, True, id="a short outage"), pytest.param(99, False, id="a long one")],
)
async def test_vectors_that_are_paid_for_wait_for_the_end_of_an_outage(
    client: fakeredis.FakeAsyncRedis, *, failures: int, is_stored: bool
) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    redis, cat = _Interrupted(client), Chunk("a.md/1", "cat")
    redis.failures = failures
    store = DocumentStore(redis)
    space = EmbeddingSpace("words", 2)
    build = RedisBuild(store, "lease", "token", space, number=1, sleep=sleep)
    with nullcontext() if is_stored else pytest.raises(DocumentsNotReadyError):
        await build.add([cat], [[1.0, 0.0]])
    assert len(waits) == min(failures, 10)
    assert await build.known([cat.key]) == ({cat.key} if is_stored else set())


async def test_without_redis_a_question_is_refused_and_the_service_degraded(
    replicas: RedisStore, folder: Path, server: fakeredis.FakeServer
) -> None:
    async with replicas.process(folder, BagOfWords()) as process:
        await ids(process)
        assert await process.is_ready()
        server.connected = False
        with pytest.raises(DocumentsNotReadyError, match="Redis") as refusal:
            await ids(process)
        assert refusal.value.retry_after_s
        assert not await process.is_ready()


class _Client:
    """A Redis of which only the answer to VCARD matters."""

    def __init__(self, answer: Exception | None) -> None:
        self._answer = answer

    def vset(self) -> "_Client":
        return self

    async def vcard(self, _key: str) -> int:
        if self._answer is not None:
            raise self._answer
        return 0

    async def set(self, *_: object, **__: object) -> None:
        raise RedisDownError

    def register_script(self, _script: str) -> None: ...


async def opened_with(answer: Exception | None) -> SharedLibrary:
    redis = SharedRedis(_Client(answer))  # type: ignore[arg-type]  # as much of it as is used
    try:
        async with open_redis_library(DocumentsPolicy(store="redis"), BagOfWords(), redis) as it:
            return it
    finally:
        await redis.aclose()


async def test_a_redis_without_vector_sets_is_refused_with_one_message(logs: CapturedLogs) -> None:
    with pytest.raises(StoreUnusableError, match="Redis 8 or later"):
        await opened_with(ResponseError("unknown command 'VCARD', with args beginning with: "))
    (line,) = logs.events("retrieval.store_unusable")
    assert "REDIS_URL" in line["reason"]
    assert not logs.events("redis.unavailable")


async def test_the_service_starts_while_its_redis_is_down() -> None:
    assert isinstance(await opened_with(RedisDownError("refused")), SharedLibrary)
