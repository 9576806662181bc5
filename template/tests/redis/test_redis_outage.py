"""Outages as requests see them, with a server on a socket: which calls ask it, and what is logged."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from app.redis.cache import RedisCache
from app.redis.circuit import RedisCircuit
from app.redis.client import SharedRedis, open_redis
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import RateLimitPolicy
from app.testing import CapturedLogs


@dataclass
class Server:
    """Speaks as much of Redis' protocol as the client needs. `answer` is to each command after the handshake."""

    answer: bytes | None = b"+OK\r\n"  # `None`: no answer at all
    commands: list[bytes] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while command := await _command(reader):
            if command in _HANDSHAKE:
                writer.write(_HANDSHAKE[command])
                continue
            self.commands.append(command)
            if self.answer is not None:
                writer.write(self.answer)
        writer.close()


_HANDSHAKE = {b"HELLO": b"%1\r\n+proto\r\n:3\r\n", b"CLIENT": b"+OK\r\n"}


async def _command(reader: asyncio.StreamReader) -> bytes | None:
    """Read one command, an array of strings; return its name, or `None` at the end."""
    try:
        parts = int((await reader.readline())[1:] or 0)
        words = []
        for _ in range(parts):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2])
    except (ConnectionError, asyncio.IncompleteReadError, ValueError):
        return None
    return words[0].upper() if words else None


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Server, SharedRedis]]:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1")
    port = listener.sockets[0].getsockname()[1]
    async with listener, open_redis(f"redis://127.0.0.1:{port}/0") as redis:
        yield server, redis


def request_of(redis: SharedRedis) -> Callable[[], asyncio.Future[list[object]]]:
    """A request that uses the cache, and the limits and circuits of two providers."""
    cache, policy = RedisCache(redis), RateLimitPolicy(requests_per_minute=100_000, burst=10_000)
    limiters = [RedisLimiter(name, policy, redis) for name in ("one", "two")]
    circuits = [RedisCircuit(name, redis) for name in ("one", "two")]

    async def request() -> list[object]:
        return [
            await cache.get("a"),
            *[await limiter.acquire() for limiter in limiters],
            *[await circuit.remote_open_s() for circuit in circuits],
        ]

    return lambda: asyncio.ensure_future(request())


def asked(server: Server) -> int:
    """The number of commands of requests. Only the background task sends a SET."""
    return sum(command != b"SET" for command in server.commands)


def outages(logs: CapturedLogs) -> list[tuple[str, str | None]]:
    return [(line["event"], line.get("reason")) for line in logs.lines if "redis." in line["event"]]


async def test_when_redis_hangs_each_request_in_flight_waits_once_and_later_ones_not_at_all(
    logs: CapturedLogs,
) -> None:
    async with connected() as (server, redis):
        request = request_of(redis)
        server.answer = None
        await asyncio.gather(*(request() for _ in range(20)))
        in_flight = asked(server)
        assert 1 <= in_flight <= 20  # each request has five uses of Redis, and waits once
        await asyncio.gather(*(request() for _ in range(1_000)))
        assert asked(server) == in_flight
        assert not await redis.check()
    assert outages(logs) == [("redis.unavailable", "no answer in time")]


@pytest.mark.slow
async def test_while_redis_hangs_for_seconds_no_request_probes(logs: CapturedLogs) -> None:
    async with connected() as (server, redis):
        request = request_of(redis)
        server.answer = None
        await request()
        for _ in range(60):
            await request()
            await asyncio.sleep(0.1)
        assert asked(server) == 1
        assert (
            len(server.commands) - asked(server) >= 2
        )  # probes, each of which waits half a second
    assert outages(logs) == [("redis.unavailable", "no answer in time")]


@pytest.mark.parametrize(
    ("answer", "reason", "reads"),
    [
        (b"-OOM command not allowed when used memory > 'maxmemory'.\r\n", "full", 60),
        (b"-READONLY You can't write against a read only replica.\r\n", "read-only", 60),
        (b"-MISCONF Redis is configured to save RDB snapshots\r\n", "command refused", 60),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "loading", 1),
        (b"-NOAUTH Authentication required.\r\n", "credentials refused", 1),
    ],
    ids=["full", "read-only", "cannot save", "loading", "no password"],
)
async def test_when_redis_refuses_no_request_writes_and_the_log_has_one_line(
    answer: bytes, reason: str, reads: int, logs: CapturedLogs
) -> None:
    async with connected() as (server, redis):
        request = request_of(redis)
        server.answer = answer
        for _ in range(20):
            await request()
        # Each request reads the cache and two circuits. Fewer, if the machine stalls for half a second.
        assert min(reads, 3) <= asked(server) <= reads
        assert b"EVALSHA" not in server.commands
        assert not await redis.check()
    assert outages(logs) == [("redis.unavailable", reason)]


@pytest.mark.slow
async def test_a_redis_that_hangs_and_refuses_in_turns_has_one_outage(logs: CapturedLogs) -> None:
    async with connected() as (server, redis):
        request = request_of(redis)
        server.answer = None
        await request()
        for second in range(8):
            server.answer = None if second % 2 else b"-OOM no\r\n"
            for _ in range(10):
                await request()
                await asyncio.sleep(0.1)
        assert asked(server) == 1
    assert outages(logs) == [("redis.unavailable", "no answer in time")]


@pytest.mark.slow
async def test_a_redis_that_answers_again_is_used_after_three_seconds(logs: CapturedLogs) -> None:
    async with connected() as (server, redis):
        server.answer = None
        await redis.write(lambda: redis.client.set("a", "1"), otherwise=None)
        server.answer = b"+OK\r\n"
        async with asyncio.timeout(8):
            while not await redis.check():  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.1)
        assert await redis.write(lambda: redis.client.set("a", "1"), otherwise=None)
    assert [event for event, _ in outages(logs)] == ["redis.unavailable", "redis.recovered"]
