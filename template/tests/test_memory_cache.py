import pytest

from app.cache import MemoryCache, NoCache
from app.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_a_stored_value_is_found(clock: FakeClock) -> None:
    cache = MemoryCache(clock=clock.monotonic)
    await cache.set("a", b"1", ttl_s=10)
    assert await cache.get("a") == b"1"
    assert await cache.get("b") is None


async def test_an_empty_value_is_a_value(clock: FakeClock) -> None:
    cache = MemoryCache(clock=clock.monotonic)
    await cache.set("a", b"", ttl_s=10)
    assert await cache.get("a") == b""


async def test_an_entry_ends_with_its_time(clock: FakeClock) -> None:
    cache = MemoryCache(clock=clock.monotonic)
    await cache.set("a", b"1", ttl_s=10)
    clock.now += 9.9
    assert await cache.get("a") == b"1"
    clock.now += 0.1
    assert await cache.get("a") is None


async def test_the_least_recently_used_entry_makes_room(clock: FakeClock) -> None:
    cache = MemoryCache(max_entries=2, clock=clock.monotonic)
    await cache.set("a", b"1", ttl_s=10)
    await cache.set("b", b"2", ttl_s=10)
    await cache.get("a")
    await cache.set("c", b"3", ttl_s=10)
    assert [await cache.get(key) for key in "abc"] == [b"1", None, b"3"]


async def test_the_bytes_are_bounded_too(clock: FakeClock) -> None:
    cache = MemoryCache(max_bytes=800, clock=clock.monotonic)
    for key in "abcdefghij":
        await cache.set(key, b"x" * 90, ttl_s=10)
    kept = [key for key in "abcdefghij" if await cache.get(key)]
    assert kept == list("cdefghij")


@pytest.mark.parametrize("size", [101, 800, 801, 10_000])
async def test_a_value_of_more_than_an_eighth_of_the_bytes_evicts_no_other(
    clock: FakeClock, size: int
) -> None:
    cache = MemoryCache(max_bytes=800, clock=clock.monotonic)
    for key in "abc":
        await cache.set(key, b"1", ttl_s=10)
    await cache.set("a", b"x" * size, ttl_s=10)
    assert [await cache.get(key) for key in "abc"] == [None, b"1", b"1"]


async def test_a_value_larger_than_the_cache_is_not_kept(clock: FakeClock) -> None:
    cache = MemoryCache(max_bytes=800, clock=clock.monotonic)
    await cache.set("a", b"x" * 801, ttl_s=10)
    assert await cache.get("a") is None


async def test_replacing_and_expiring_give_their_bytes_back(clock: FakeClock) -> None:
    cache = MemoryCache(max_bytes=800, clock=clock.monotonic)
    for _ in range(9):
        await cache.set("a", b"x" * 100, ttl_s=1)
    clock.now += 2
    assert await cache.get("a") is None
    for key in "bcdefghi":
        await cache.set(key, b"x" * 100, ttl_s=1)
    assert all([await cache.get(key) for key in "bcdefghi"])


async def test_a_closed_cache_has_forgotten(clock: FakeClock) -> None:
    cache = MemoryCache(clock=clock.monotonic)
    await cache.set("a", b"1", ttl_s=10)
    await cache.aclose()
    assert await cache.get("a") is None


async def test_no_cache_forgets_at_once() -> None:
    cache = NoCache()
    await cache.set("a", b"1", ttl_s=10)
    assert await cache.get("a") is None
    assert await cache.ping()
