"""Makes the redis-py client of each form of address: see `app.redis.address`.

No client connects before its first call, because the service starts without its Redis. redis-py's own
retries are off, because they multiply the timeout. Failures reach the guard of `app.redis.client`.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any, cast

from redis.asyncio import BlockingConnectionPool, Redis, RedisCluster, Sentinel
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ClusterError
from redis.exceptions import ConnectionError as ClosedError
from redis.typing import EncodableT

from app.redis.address import Kind, RedisAddress

# Shares of a call's timeout, so that redis-py sees the failure of a node before the call ends, and asks
# another node for the new topology. If the call's own timeout came first, a node that hangs would stay.
_CONNECT_SHARE, _ANSWER_SHARE, _SENTINELS_SHARE = 0.6, 0.8, 0.8
# Connections of a node beyond those of the calls, for its questions about the topology.
_SPARE = 4
# So many keys miss one of ten nodes with equal shares in one of 4,000 cases.
_VARIANTS = 100


@asynccontextmanager
async def open_client(
    address: RedisAddress, *, max_connections: int, timeout_s: float
) -> AsyncIterator[Redis]:
    """A client with all commands of `Redis`, of any form of address."""
    async with _OPEN[address.kind](address, max_connections, timeout_s) as client:
        yield client


def validate_options(address: RedisAddress) -> None:
    """Make the parts of a client, without a connection. Raises redis-py's errors."""
    if address.kind == "cluster":
        _cluster(address, 1, 1)
    else:
        pool = _pool(address, 1, 1) if address.kind == "server" else _sentinel(address, 1, 1)[1]
        pool.make_connection()  # type: ignore[no-untyped-call]  # not typed there


@asynccontextmanager
async def _open_server(
    address: RedisAddress, max_connections: int, timeout_s: float
) -> AsyncIterator[Redis]:
    async with Redis.from_pool(_pool(address, max_connections, timeout_s)) as client:
        yield client


def _pool(address: RedisAddress, max_connections: int, timeout_s: float) -> BlockingConnectionPool:
    return BlockingConnectionPool(**_pooled(address, max_connections, timeout_s))


@asynccontextmanager
async def _open_cluster(
    address: RedisAddress, max_connections: int, timeout_s: float
) -> AsyncIterator[Redis]:
    async with aclosing(_cluster(address, max_connections, timeout_s)) as client:
        yield cast("Redis", client)  # it has the same commands, but there is no common type


def _cluster(address: RedisAddress, max_connections: int, timeout_s: float) -> RedisCluster:
    options: dict[str, Any] = {
        "max_connections": max_connections + _SPARE,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": timeout_s * _CONNECT_SHARE,
        "socket_timeout": timeout_s * _ANSWER_SHARE,
        **address.options,
    }
    nodes = [ClusterNode(host.name, host.port) for host in address.hosts]
    client = _Cluster(startup_nodes=nodes, **options)
    connection_class = _SharedTLSConnection if address.options.get("ssl") else _SharedConnection
    client.connection_kwargs["connection_class"] = connection_class  # of the nodes that it finds
    for node in client.startup_nodes:
        node.connection_class = connection_class
    return client


class _Cluster(RedisCluster):
    """Calls keys of a slot that is moving: the node that gives it away answers ASK.

    redis-py asks this method for the node that ASK names. A node without slots, as a new one is until the first
    slot has moved, is unknown to redis-py, and the call would end with an `AttributeError` (its issue 4015).
    """

    def get_node(
        self, host: str | None = None, port: int | None = None, node_name: str | None = None
    ) -> ClusterNode | None:
        node = super().get_node(host, port, node_name)
        if node_name is None:
            return node
        if node is None:
            raise ClusterError(f"{node_name} has no slots yet")
        return cast("ClusterNode", _AskedNode(node))


class _AskedNode:
    """Sends ASKING and the command after it on one connection, as Redis requires.

    redis-py takes the next free connection for each. Without ASKING, the new node sends the command back to the old
    one, which sends it here again: with two connections or more, a call ended with "TTL exhausted".
    """

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    def __getattr__(self, name: str) -> object:
        return getattr(self._node, name)

    async def execute_command(self, *command: EncodableT, **options: object) -> object:
        if command == ("ASKING",):
            return b"OK"  # it goes with the command
        connection = self._node.acquire_connection()
        try:
            await self._send(connection, "ASKING")
            return await self._send(connection, *command, **options)
        finally:
            self._node.release(connection)

    async def _send(
        self, connection: Connection, *command: EncodableT, **options: object
    ) -> object:
        options.pop("asking", None)  # for a command that the service does not use
        await connection.send_packed_command(connection.pack_command(*command))
        return await self._node.parse_response(connection, str(command[0]), **options)


class _SharedConnection(Connection):
    """A connection of a cluster's node, which another call may close.

    If the nodes cannot be found, redis-py closes all connections, also those in use. A write to a
    closed transport is a `TypeError` of asyncio (Python 3.13), which the guard of all calls does not expect.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], *more: bool, **named: bool
    ) -> None:
        try:
            await super().send_packed_command(command, *more, **named)
        except TypeError as error:
            raise ClosedError("another call has closed the connection") from error


class _SharedTLSConnection(_SharedConnection, SSLConnection):
    pass


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """A call waits if all connections to the primary are busy."""


@asynccontextmanager
async def _open_sentinel(
    address: RedisAddress, max_connections: int, timeout_s: float
) -> AsyncIterator[Redis]:
    sentinel, pool = _sentinel(address, max_connections, timeout_s)
    async with aclosing(sentinel), Redis.from_pool(pool) as client:
        yield client


def _sentinel(
    address: RedisAddress, max_connections: int, timeout_s: float
) -> tuple[Sentinel, _SentinelPool]:
    sentinel = _sentinels(address, timeout_s)
    options = _pooled(address, max_connections, timeout_s)
    return sentinel, _SentinelPool(address.service, sentinel, **options)  # type: ignore[no-untyped-call]


def _sentinels(address: RedisAddress, timeout_s: float) -> Sentinel:
    """The Sentinels, which are asked in turn: all of them within the timeout of a call."""
    each_s = timeout_s * _SENTINELS_SHARE / len(address.hosts)
    options = {
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": each_s,
        "socket_timeout": each_s,
        **address.sentinel_options,
    }
    return Sentinel([*address.hosts], sentinel_kwargs=options)  # type: ignore[no-untyped-call]


def _pooled(address: RedisAddress, max_connections: int, timeout_s: float) -> Mapping[str, Any]:
    return {
        "max_connections": max_connections,
        "timeout": timeout_s,
        "socket_connect_timeout": timeout_s,
        "socket_timeout": timeout_s,
        "retry": Retry(NoBackoff(), 0),
        **address.options,
    }


_OPEN: Mapping[Kind, Callable[[RedisAddress, int, float], AbstractAsyncContextManager[Redis]]] = {
    "server": _open_server,
    "cluster": _open_cluster,
    "sentinel": _open_sentinel,
}


def key_on_each_node(client: Redis, key: str) -> list[str]:
    """Variants of a key: one on each node that has keys. One server has the key itself."""
    if not isinstance(client, RedisCluster):
        return [key]
    slots = client.nodes_manager.slots_cache
    found: dict[str, str] = {}
    for variant in (f"{key}:{number}" for number in range(_VARIANTS)):
        if nodes := slots.get(
            client.keyslot(variant)
        ):  # none of them is known before the first call
            found.setdefault(nodes[0].name, variant)
    return [*found.values()] or [key]
