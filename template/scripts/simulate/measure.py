"""`make simulate ARGS=measure`: what each use of Redis takes of a real one, that of `REDIS_URL`.

The time and the bytes are those of its own counters, so nothing else may use it meanwhile. The time is
that of the command only, without reading it and sending the reply.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from secrets import token_hex

from app.redis.client import SharedRedis, open_redis
from scripts.simulate.costs import uses

_COMMANDS = ("evalsha", "get", "set")  # the time of a script includes its commands
_AT_A_TIME = 5


@dataclass(frozen=True, slots=True)
class Measured:
    name: str
    run_us: float
    sent_bytes: float
    received_bytes: float

    def __str__(self) -> str:
        sizes = f"{self.sent_bytes:6.0f} bytes to Redis, {self.received_bytes:6.0f} back"
        return f"{self.name:<60} {self.run_us:6.1f} µs, {sizes}"


@dataclass(frozen=True, slots=True)
class _Counters:
    run_us: int
    sent_bytes: int
    received_bytes: int


async def measure(url: str, repeats: int = 1000) -> list[Measured]:
    async with open_redis(url, f"simulate-{token_hex(4)}") as redis:
        return [await _measured(redis, name, use, repeats) for name, use in uses(redis)]


async def _measured(
    redis: SharedRedis, name: str, use: Callable[[], Awaitable[object]], repeats: int
) -> Measured:
    await asyncio.gather(*(use() for _ in range(_AT_A_TIME)))  # opens the connections
    empty, before = await _counters(redis), await _counters(redis)
    for _ in range(repeats // _AT_A_TIME):
        await asyncio.gather(*(use() for _ in range(_AT_A_TIME)))
    after = await _counters(redis)
    if not await redis.check():
        raise RuntimeError("Redis did not answer within 0.5 s: nothing was measured")
    return Measured(
        name,
        (after.run_us - before.run_us) / repeats,
        (after.sent_bytes - 2 * before.sent_bytes + empty.sent_bytes) / repeats,
        (after.received_bytes - 2 * before.received_bytes + empty.received_bytes) / repeats,
    )


async def _counters(redis: SharedRedis) -> _Counters:
    found = await redis.client.info("everything")
    return _Counters(
        run_us=sum(found.get(f"cmdstat_{name}", {}).get("usec", 0) for name in _COMMANDS),
        sent_bytes=found["total_net_input_bytes"],
        received_bytes=found["total_net_output_bytes"],
    )
