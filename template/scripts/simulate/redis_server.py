"""A Redis in memory that takes time: a network, one thread that runs the commands, and connections.

The commands and scripts are run by fakeredis, so each reply is the real one. The time of a command is
that which a real Redis needed (`make simulate ARGS=measure`). Commands wait for each other, as
in Redis. A command is run also if its caller has left: the server does not know it.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from fakeredis import FakeRedis, FakeServer
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from scripts.simulate.wire import Traffic

# The time of Redis 8.0 to read a command and to send the reply, with 100 connections that always have
# one for it: `redis-benchmark -t get -c 100`. And the time to run it: `make simulate ARGS=measure`.
_IO_S = 11e-6
_RUN_S = {"GET": 0.3e-6, "PTTL": 0.3e-6, "SET": 2.5e-6}
# Scripts by their number of keys: 3 is the rate limit, 2 a client's account, 1 gives something back.
_SCRIPT_S = {1: 5e-6, 2: 20e-6, 3: 19e-6}
# redis-py sends this many round trips when it opens a connection, and TCP has one of its own.
_CONNECT_ROUND_TRIPS = 3

_POOL = 50  # as `app.redis.client.open_redis`


@dataclass(frozen=True, slots=True)
class ServerPolicy:
    """`capacity` is the size of this Redis as a share of one processor that runs Redis only."""

    round_trip_s: float = 0.001
    capacity: float = 1.0
    max_clients: float = 10_000


class RedisServer:
    """While it is gone, nothing answers: as behind a broken network."""

    def __init__(self, policy: ServerPolicy) -> None:
        self.is_gone = False
        self.traffic = Traffic()
        self.connections = 0
        self.most_connections = 0
        self.refused_connections = 0
        self.busy_s = 0.0
        self.longest_queue_s = 0.0
        self._policy = policy
        self._memory = FakeRedis(server=FakeServer())
        self._free_at = -math.inf

    def forget(self) -> None:
        """Lose all data and scripts, as at a restart without persistence."""
        self._memory = FakeRedis(server=FakeServer())

    async def connect(self) -> None:
        self.connections += 1
        self.most_connections = max(self.most_connections, self.connections)
        try:
            await self._handshake()
        except BaseException:
            self.connections -= 1
            raise

    async def _handshake(self) -> None:
        if self.is_gone:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(_CONNECT_ROUND_TRIPS * self._policy.round_trip_s)
        if self.connections > self._policy.max_clients:
            self.refused_connections += 1
            raise RedisConnectionError("max number of clients reached")

    def send(
        self, command: Sequence[object], options: dict[str, object]
    ) -> "asyncio.Future[object]":
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[object] = loop.create_future()
        self.traffic.sent(command)
        if self.is_gone:
            return reply
        half_s = self._policy.round_trip_s / 2
        arrives_at = loop.time() + half_s
        starts_at = max(arrives_at, self._free_at)
        takes_s = _time_s(command) / self._policy.capacity
        self.longest_queue_s = max(self.longest_queue_s, starts_at - arrives_at)
        self.busy_s += takes_s
        self._free_at = starts_at + takes_s
        loop.call_at(self._free_at + half_s, self._answer, command, options, reply)
        return reply

    def _answer(
        self,
        command: Sequence[object],
        options: dict[str, object],
        reply: "asyncio.Future[object]",
    ) -> None:
        if self.is_gone:
            return
        try:
            found = self._memory.execute_command(*command, **options)  # type: ignore[no-untyped-call]  # redis-py has no types here
        except RedisError as error:
            if not reply.done():
                reply.set_exception(error)
            return
        self.traffic.received(found)
        if not reply.done():
            reply.set_result(found)


def _time_s(command: Sequence[object]) -> float:
    name = str(command[0])
    if name == "EVALSHA":
        return _IO_S + _SCRIPT_S[int(str(command[2]))]
    return _IO_S + _RUN_S.get(name, 0.0)


class RedisClient(Redis):
    """The client of one process, with its pool of connections."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server
        self._places = asyncio.Semaphore(_POOL)
        self._busy = 0
        self._opened = 0

    async def execute_command(self, *command: object, **options: object) -> object:
        async with self._places:
            self._busy += 1
            try:
                if self._busy > self._opened:
                    await self._server.connect()
                    self._opened += 1
                return await self._reply(command, options)
            finally:
                self._busy -= 1

    async def _reply(self, command: tuple[object, ...], options: dict[str, object]) -> object:
        try:
            return await self._server.send(command, options)
        except asyncio.CancelledError:  # the reply may still come: the connection is of no more use
            self.close_one()
            raise

    def close_one(self) -> None:
        self._opened -= 1
        self._server.connections -= 1

    def close_all(self) -> None:
        """The process ends."""
        while self._opened:
            self.close_one()
