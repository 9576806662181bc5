import asyncio
import time
from collections.abc import AsyncIterator

import fakeredis
import pytest

from app.cache.redis import RedisCache
from app.shared_redis import open_redis
from app.testing import FakeClock, captured_logs


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def cache(server: fakeredis.FakeServer, clock: FakeClock) -> AsyncIterator[RedisCache]:
    async with fakeredis.FakeAsyncRedis(server=server) as redis:
        yield RedisCache(redis, clock=clock.monotonic)


async def test_what_was_stored_is_found(cache: RedisCache) -> None:
    await cache.set("a", b"\x00\xff", ttl_s=10)
    assert await cache.get("a") == b"\x00\xff"
    assert await cache.get("b") is None
    assert await cache.ping()


async def test_keys_are_prefixed_and_expire(
    server: fakeredis.FakeServer, cache: RedisCache
) -> None:
    await cache.set("a", b"1", ttl_s=10)
    async with fakeredis.FakeAsyncRedis(server=server) as redis:
        assert await redis.keys() == [b"app:a"]
        assert 9_000 < await redis.pttl("app:a") <= 10_000


async def test_a_very_short_time_is_no_error(cache: RedisCache) -> None:
    await cache.set("a", b"1", ttl_s=0.0001)


async def test_an_outage_is_a_miss_and_logged_once(
    server: fakeredis.FakeServer, cache: RedisCache, clock: FakeClock
) -> None:
    server.connected = False
    with captured_logs() as logs:
        for _ in range(3):
            assert await cache.get("a") is None
            await cache.set("a", b"1", ttl_s=10)
            clock.now += 10
        assert not await cache.ping()
    assert [line["event"] for line in logs.lines] == ["cache.unavailable"]


async def test_the_end_of_an_outage_is_noticed(
    server: fakeredis.FakeServer, cache: RedisCache, clock: FakeClock
) -> None:
    server.connected = False
    await cache.get("a")
    server.connected = True
    await cache.set("a", b"1", ttl_s=10)  # still left alone
    clock.now += 2
    with captured_logs() as logs:
        assert await cache.get("a") is None
        await cache.set("a", b"1", ttl_s=10)
        assert await cache.get("a") == b"1"
    assert [line["event"] for line in logs.lines] == ["cache.recovered"]


async def test_a_ping_that_works_ends_the_pause(
    server: fakeredis.FakeServer, cache: RedisCache
) -> None:
    await cache.set("a", b"1", ttl_s=10)
    server.connected = False
    await cache.get("a")
    server.connected = True
    assert await cache.ping()
    assert await cache.get("a") == b"1"


async def test_nobody_listening_is_a_miss(unused_tcp_port: int) -> None:
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
        assert time.perf_counter() - started < 1.5
    server.close()
    await server.wait_closed()
