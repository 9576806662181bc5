"""The round trips of a search: a store far away costs each of them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from app.rag.searchable import Searchable
from app.redis.address import parsed
from app.redis.topology import open_client
from scripts.bench.relay import Relay, relayed
from tests.rag.bag_of_words import BagOfWords
from tests.rag.contract.conftest import REDIS
from tests.rag.contract.postgres import postgres_url
from tests.rag.contract.processes import PostgresStore, RedisStore
from tests.rag.contract.test_stores import ids

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


async def round_trips(library: Searchable, relay: Relay) -> int:
    before = relay.traffic.round_trips
    assert await ids(library) == ["a.md/1", "b.md/1"]
    return relay.traffic.round_trips - before


@asynccontextmanager
async def postgres(folder: Path) -> AsyncIterator[tuple[Searchable, Relay]]:
    async with relayed(postgres_url()) as relay:
        store = PostgresStore(relay.url, prefix=token_hex(8))
        async with store.process(folder, BagOfWords()) as library:
            await ids(library)
            yield library, relay


async def test_a_search_in_postgres_is_one_round_trip(folder: Path) -> None:
    async with postgres(folder) as (library, relay):
        await ids(library)  # after the build, a search does not know the table yet
        assert [await round_trips(library, relay) for _ in range(3)] == [1, 1, 1]


async def test_a_connection_that_was_idle_is_tried_before_a_search(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with postgres(folder) as (library, relay):
        await ids(library)
        later = time.monotonic() + 11
        monkeypatch.setattr("app.rag.shared.postgres.connection.time.monotonic", lambda: later)
        assert await round_trips(library, relay) == 2


async def test_a_search_goes_on_after_postgres_has_closed_its_connections(folder: Path) -> None:
    async with postgres(folder) as (library, relay):
        await ids(library)
        await relay.hang_up()
        assert await ids(library) == ["a.md/1", "b.md/1"]


@pytest.mark.skipif(
    REDIS is None or not REDIS.startswith("redis://"),
    reason="needs the one Redis 8 of REDIS_TEST_URL",
)
async def test_a_search_in_redis_is_two_round_trips(folder: Path) -> None:
    async with relayed(str(REDIS)) as relay:
        address = parsed(relay.url)
        store = RedisStore(
            lambda: open_client(address, max_connections=50, timeout_s=10.0), prefix=token_hex(8)
        )
        async with store.process(folder, BagOfWords()) as library:
            await ids(library)
            assert [await round_trips(library, relay) for _ in range(3)] == [2, 2, 2]
