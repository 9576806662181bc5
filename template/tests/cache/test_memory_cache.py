import pytest

from app.cache.memory import MemoryCache
from app.cache.off import NoCache
from app.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


async def test_what_was_stored_is_found(clock: FakeClock) -> None:
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
    cache = MemoryCache(max_bytes=100, clock=clock.monotonic)
    for key in "abc":
        await cache.set(key, b"x" * 40, ttl_s=10)
    assert [await cache.get(key) is None for key in "abc"] == [True, False, False]


async def test_a_value_larger_than_the_cache_is_not_kept(clock: FakeClock) -> None:
    cache = MemoryCache(max_bytes=100, clock=clock.monotonic)
    await cache.set("a", b"x" * 101, ttl_s=10)
    assert await cache.get("a") is None


async def test_replacing_and_expiring_give_their_bytes_back(clock: FakeClock) -> None:
    cache = MemoryCache(max_bytes=100, clock=clock.monotonic)
    for _ in range(5):
        await cache.set("a", b"x" * 60, ttl_s=1)
    clock.now += 2
    assert await cache.get("a") is None
    await cache.set("b", b"x" * 100, ttl_s=1)
    assert await cache.get("b") is not None


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
