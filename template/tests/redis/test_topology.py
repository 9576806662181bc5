"""The clients of a cluster and of Sentinel, without one: slow tests of the template have real ones."""

from typing import Any

import fakeredis
import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.connection import Connection
from redis.exceptions import ClusterError
from redis.exceptions import ConnectionError as ClosedError

from app.redis.client import open_redis
from app.redis.topology import _AskedNode, _Cluster, _SharedConnection, key_on_each_node
from app.testing import CapturedLogs


@pytest.mark.parametrize(
    "form", ["redis+cluster://{hosts}/", "redis+sentinel://{hosts}/shop", "redis://{host}/0"]
)
async def test_servers_that_are_not_there_are_an_outage_and_no_error(
    form: str, unused_tcp_port: int, logs: CapturedLogs
) -> None:
    host = f"127.0.0.1:{unused_tcp_port}"
    async with open_redis(form.format(host=host, hosts=f"{host},{host}")) as redis:
        for _ in range(3):
            assert await redis.write(lambda: redis.client.set("a", "b"), otherwise=None) is None
        assert not await redis.check()
    assert len(logs.events("redis.unavailable")) == 1


async def test_a_cluster_is_probed_at_each_node_with_keys() -> None:
    client = RedisCluster(host="127.0.0.1", port=1)
    nodes = [type("Node", (), {"name": name})() for name in ("one", "two", "three")]
    slots: dict[int, Any] = client.nodes_manager.slots_cache
    slots.update({slot: [nodes[slot * 3 // 16384]] for slot in range(16384)})
    keys = key_on_each_node(client, "app:probe")  # type: ignore[arg-type]  # as in `open_client`
    assert {slots[client.keyslot(key)][0].name for key in keys} == {"one", "two", "three"}
    assert len(keys) == 3


async def test_one_server_is_probed_with_one_key() -> None:
    async with fakeredis.FakeAsyncRedis() as client:
        assert key_on_each_node(client, "app:probe") == ["app:probe"]


class _Closed(Connection):
    async def send_packed_command(self, *_command: object, **_more: object) -> None:
        raise TypeError("'NoneType' object is not callable")


class _SharedAndClosed(_SharedConnection, _Closed):  # type: ignore[misc]
    pass


async def test_a_connection_that_another_call_has_closed_is_a_failure_of_redis() -> None:
    with pytest.raises(ClosedError):
        await _SharedAndClosed().send_packed_command(b"PING")


class _Sending:
    def __init__(self) -> None:
        self.sent: list[tuple[str, ...]] = []

    def pack_command(self, *command: str) -> tuple[str, ...]:
        return command

    async def send_packed_command(self, command: tuple[str, ...]) -> None:
        self.sent.append(command)


class _Node:
    """Gives its free connections in turn, as that of redis-py."""

    def __init__(self) -> None:
        self.free = [_Sending(), _Sending()]
        self.all = tuple(self.free)

    def acquire_connection(self) -> _Sending:
        return self.free.pop(0)

    def release(self, connection: _Sending) -> None:
        self.free.append(connection)

    async def parse_response(self, connection: _Sending, _command: str) -> tuple[str, ...]:
        return connection.sent[-1]


async def test_a_command_follows_asking_on_the_same_connection() -> None:
    node = _Node()
    asked: Any = _AskedNode(node)  # type: ignore[arg-type]
    await asked.execute_command("ASKING")
    assert await asked.execute_command("GET", "key", asking=False) == ("GET", "key")
    assert [each.sent for each in node.all] == [[("ASKING",), ("GET", "key")], []]
    assert len(node.free) == 2


def test_a_node_without_slots_is_a_failure_of_redis() -> None:
    with pytest.raises(ClusterError, match="no slots"):
        _Cluster(host="127.0.0.1", port=1).get_node(node_name="127.0.0.1:2")
