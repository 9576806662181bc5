"""The simulated Redis: the time of its commands, its connections, and its absence."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from scripts.simulate.redis_server import RedisClient, RedisServer, ServerPolicy
from tests.resilience import virtual_time

ROUND_TRIP_S = 0.002
CONNECT_S = 3 * ROUND_TRIP_S
# So slow that a SET takes 1.35 s.
SLOW = ServerPolicy(ROUND_TRIP_S, capacity=1e-5)


def served(
    scenario: Callable[[RedisServer, RedisClient], Awaitable[None]], policy: ServerPolicy = SLOW
) -> None:
    async def run() -> None:
        server = RedisServer(policy)
        await scenario(server, RedisClient(server))

    virtual_time.run(run())


def test_a_command_takes_its_round_trip_and_its_time_at_the_server() -> None:
    async def scenario(_server: RedisServer, client: RedisClient) -> None:
        await client.set("a", "1")
        assert virtual_time.now() == pytest.approx(1000 + CONNECT_S + ROUND_TRIP_S + 1.35)
        assert await client.get("a") == b"1"

    served(scenario)


def test_commands_wait_for_each_other() -> None:
    async def scenario(server: RedisServer, client: RedisClient) -> None:
        other = RedisClient(server)
        await asyncio.gather(client.set("a", "1"), other.set("b", "1"))
        assert virtual_time.now() == pytest.approx(1000 + CONNECT_S + ROUND_TRIP_S + 2.7)
        assert server.longest_queue_s == pytest.approx(1.35)
        assert server.busy_s == pytest.approx(2.7)

    served(scenario)


def test_the_command_of_a_caller_that_left_is_run_and_its_connection_is_closed() -> None:
    async def scenario(server: RedisServer, client: RedisClient) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.set("a", "1")
        assert server.connections == 0
        await asyncio.sleep(2)
        assert await client.get("a") == b"1"

    served(scenario)


def test_a_connection_above_the_maximum_is_refused() -> None:
    async def scenario(server: RedisServer, client: RedisClient) -> None:
        await client.get("a")
        await client.get("a")  # a connection is used again
        with pytest.raises(RedisConnectionError, match="max number of clients"):
            await RedisClient(server).get("a")
        assert (server.connections, server.refused_connections) == (1, 1)
        client.close_all()
        assert server.connections == 0

    served(scenario, ServerPolicy(max_clients=1))


def test_a_redis_that_is_gone_never_answers() -> None:
    async def scenario(server: RedisServer, client: RedisClient) -> None:
        await client.get("a")
        server.is_gone = True
        for one in (client, RedisClient(server)):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(60):
                    await one.get("a")

    served(scenario, ServerPolicy())


def test_a_redis_that_forgets_has_no_data() -> None:
    async def scenario(server: RedisServer, client: RedisClient) -> None:
        await client.set("a", "1")
        server.forget()
        assert await client.get("a") is None

    served(scenario, ServerPolicy())
