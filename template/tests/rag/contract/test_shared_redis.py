"""The Redis of shared documents: the lease of the builder, an outage, a server without vector sets."""

import asyncio
from pathlib import Path

import fakeredis
import pytest
from redis.exceptions import ConnectionError as RedisDownError
from redis.exceptions import ResponseError

from app.errors import DocumentsNotReadyError
from app.rag.policy import DocumentsPolicy
from app.rag.shared import library
from app.rag.shared.lease import Lease
from app.rag.shared.library import SharedLibrary, StoreUnusableError, open_shared_library
from app.rag.shared.store import DocumentStore
from app.redis.client import SharedRedis
from app.testing import CapturedLogs
from tests.rag.bag_of_words import BagOfWords
from tests.rag.contract.processes import RedisStore
from tests.rag.contract.test_contract import ids


async def test_a_lease_has_an_end_is_renewed_and_excludes_others(
    client: fakeredis.FakeAsyncRedis,
) -> None:
    wakes = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        await wakes.wait()
        wakes.clear()

    store = DocumentStore(SharedRedis(client))
    lease = Lease(store, lease_s=60, sleep=sleep)
    async with lease.held() as token, Lease(store).held() as other:
        assert token is not None
        assert other is None
        assert 0 < await client.pttl(lease.key) <= 60_000
        await client.pexpire(lease.key, 30_000)
        wakes.set()
        async with asyncio.timeout(10):
            while await client.pttl(lease.key) <= 30_000:  # noqa: ASYNC110 - in another task
                await asyncio.sleep(0.001)
    assert not await client.exists(lease.key)


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
        async with open_shared_library(DocumentsPolicy(store="redis"), BagOfWords(), redis) as it:
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
    assert isinstance(await opened_with(RedisDownError("refused")), library.SharedLibrary)
