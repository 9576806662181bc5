import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import fakeredis
import pytest

from app.redis.cache import RedisCache
from app.redis.client import SharedRedis, open_redis
from app.testing import captured_logs
from tests.redis.stepped_clock import SteppedClock


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def cache(server: fakeredis.FakeServer, clock: SteppedClock) -> AsyncIterator[RedisCache]:
    async with fakeredis.FakeAsyncRedis(server=server) as redis:
        shared = SharedRedis(redis, clock=clock.monotonic, sleep=clock.sleep)
        async with aclosing(shared):
            yield RedisCache(shared)


async def test_a_stored_value_is_found(cache: RedisCache) -> None:
    await cache.set("a", b"\x00\xff", ttl_s=10)
    assert await cache.get("a") == b"\x00\xff"
    assert await cache.get("b") is None
    assert await cache.ping()


async def test_keys_are_prefixed_and_expire(
    server: fakeredis.FakeServer, cache: RedisCache
) -> None:
    await cache.set("a", b"1", ttl_s=1000)
    async with fakeredis.FakeAsyncRedis(server=server) as redis:
        assert await redis.keys() == [b"app:cache:a"]
        assert 900_000 < await redis.pttl("app:cache:a") <= 1_000_000


async def test_a_very_short_time_is_no_error(cache: RedisCache) -> None:
    await cache.set("a", b"1", ttl_s=0.0001)


async def test_an_outage_is_a_miss_and_logged_once(
    server: fakeredis.FakeServer, cache: RedisCache, clock: SteppedClock
) -> None:
    server.connected = False
    with captured_logs() as logs:
        for _ in range(3):
            assert await cache.get("a") is None
            await cache.set("a", b"1", ttl_s=10)
            await clock.advance(10)
        assert not await cache.ping()
    assert [line["event"] for line in logs.lines] == ["redis.unavailable"]


async def test_the_end_of_an_outage_is_noticed(
    server: fakeredis.FakeServer, cache: RedisCache, clock: SteppedClock
) -> None:
    server.connected = False
    await cache.get("a")
    server.connected = True
    await cache.set("a", b"1", ttl_s=10)  # still skipped
    with captured_logs() as logs:
        await clock.advance(3)
        assert await cache.get("a") is None
        await cache.set("a", b"1", ttl_s=10)
        assert await cache.get("a") == b"1"
    assert [line["event"] for line in logs.lines] == ["redis.recovered"]


async def test_a_redis_that_does_not_listen_is_a_miss(unused_tcp_port: int) -> None:
    async with open_redis(f"redis://127.0.0.1:{unused_tcp_port}/0") as redis:
        cache = RedisCache(redis)
        assert await cache.get("a") is None
        assert not await cache.ping()


async def test_a_redis_that_hangs_costs_one_short_wait() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client has gone
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1")
    port = server.sockets[0].getsockname()[1]
    async with open_redis(f"redis://127.0.0.1:{port}/0") as redis:
        cache = RedisCache(redis)
        started = time.perf_counter()
        for _ in range(20):
            assert await cache.get("a") is None
        assert time.perf_counter() - started < 5  # twenty waits are ten seconds
    server.close()
    await server.wait_closed()
