"""Keys that are used together are on one node of a cluster."""

from collections.abc import AsyncIterator

import fakeredis
import pytest

from app.redis.client import SharedRedis
from tests.key_slots import KeysOfTwoSlotsError


@pytest.fixture
async def redis() -> AsyncIterator[SharedRedis]:
    async with fakeredis.FakeAsyncRedis() as client:
        yield SharedRedis(client, "shop:prod")


def test_keys_of_one_tag_differ_only_after_it(redis: SharedRedis) -> None:
    assert redis.tagged("job-1", "items") == "shop:prod:{job-1}:items"
    assert redis.tagged("job-1", "items") != redis.tagged("job-1", "events")


async def test_a_script_with_keys_of_one_tag_passes(redis: SharedRedis) -> None:
    script = redis.client.register_script("return #KEYS")
    assert await script(keys=[redis.tagged("job-1", part) for part in ("items", "events")]) == 2


async def test_a_script_with_keys_of_two_slots_fails_its_test(redis: SharedRedis) -> None:
    script = redis.client.register_script("return #KEYS")
    with pytest.raises(KeysOfTwoSlotsError, match="shop:prod:items"):
        await script(keys=[redis.key("items"), redis.key("events")])


async def test_a_transaction_with_keys_of_two_slots_fails_its_test(redis: SharedRedis) -> None:
    async with redis.client.pipeline(transaction=True) as pipe:
        pipe.set(redis.tagged("job-1", "items"), 1)
        pipe.set(redis.tagged("job-2", "items"), 1)
        with pytest.raises(KeysOfTwoSlotsError):
            await pipe.execute()


async def test_a_command_with_keys_of_two_slots_fails_its_test(redis: SharedRedis) -> None:
    with pytest.raises(KeysOfTwoSlotsError):
        await redis.client.mget(redis.key("items"), redis.key("events"))


async def test_a_pipeline_that_is_no_transaction_may_use_many_slots(redis: SharedRedis) -> None:
    async with redis.client.pipeline(transaction=False) as pipe:
        pipe.set(redis.key("items"), 1)
        pipe.set(redis.key("events"), 1)
        assert await pipe.execute() == [True, True]
