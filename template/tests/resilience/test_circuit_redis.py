from collections.abc import AsyncIterator

import fakeredis
import pytest

from app.resilience.circuit_redis import RedisCircuit
from app.testing import CapturedLogs


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
async def redis(server: fakeredis.FakeServer) -> AsyncIterator[fakeredis.FakeAsyncRedis]:
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        yield client


async def test_others_hear_of_an_open_circuit_for_as_long_as_it_is_open(
    redis: fakeredis.FakeAsyncRedis,
) -> None:
    other = RedisCircuit("llm", redis)
    assert await other.open_elsewhere_s() == 0
    await RedisCircuit("llm", redis).opened(30)
    assert 29.5 < await other.open_elsewhere_s() <= 30


async def test_circuits_of_other_names_are_other_circuits(redis: fakeredis.FakeAsyncRedis) -> None:
    await RedisCircuit("one", redis).opened(30)
    assert await RedisCircuit("two", redis).open_elsewhere_s() == 0
    assert await redis.keys() == [b"app:circuit:one"]


async def test_without_redis_nobody_hears_anything(
    server: fakeredis.FakeServer, redis: fakeredis.FakeAsyncRedis, logs: CapturedLogs
) -> None:
    circuit = RedisCircuit("llm", redis)
    server.connected = False
    await circuit.opened(30)
    assert await circuit.open_elsewhere_s() == 0
    assert [line for line in logs.lines if line["level"] != "debug"] == []
