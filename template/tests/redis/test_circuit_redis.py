from collections.abc import AsyncIterator

import fakeredis
import pytest

from app.redis.circuit import RedisCircuit
from app.redis.client import SharedRedis
from app.testing import CapturedLogs


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
async def redis(server: fakeredis.FakeServer) -> AsyncIterator[SharedRedis]:
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        yield SharedRedis(client)


async def test_other_processes_see_an_open_circuit_until_it_half_opens(
    redis: SharedRedis,
) -> None:
    other = RedisCircuit("llm", redis)
    assert await other.remote_open_s() == 0
    await RedisCircuit("llm", redis).opened(30)
    assert 29.5 < await other.remote_open_s() <= 30


async def test_circuits_of_other_names_are_other_circuits(redis: SharedRedis) -> None:
    await RedisCircuit("one", redis).opened(30)
    assert await RedisCircuit("two", redis).remote_open_s() == 0
    assert await redis.client.keys() == [b"app:{one}:circuit"]


async def test_without_redis_no_circuit_is_open_elsewhere(
    server: fakeredis.FakeServer, redis: SharedRedis, logs: CapturedLogs
) -> None:
    circuit = RedisCircuit("llm", redis)
    server.connected = False
    await circuit.opened(30)
    assert await circuit.remote_open_s() == 0
    assert [line["event"] for line in logs.lines if line["level"] != "debug"] == [
        "redis.unavailable"
    ]
