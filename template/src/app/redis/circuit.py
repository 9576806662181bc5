"""Share a circuit breaker's open state between processes through Redis.

When a process opens its circuit, it sets a Redis key that expires when the circuit half-opens. The
key does not open the circuits of other processes: one process with a broken network must not block
the provider for all of them. The key lowers their threshold to a single failure.

The expiry in Redis is the only clock, so the processes do not need equal clocks. While Redis is
unavailable, each process uses only its own circuit.
"""

import math

from app.redis.client import SharedRedis


class RedisCircuit:
    """The `SharedCircuit` of all processes that give it the same name."""

    def __init__(self, name: str, redis: SharedRedis) -> None:
        self._key = redis.tagged(name, "circuit")
        self._redis = redis
        self._client = redis.client

    async def opened(self, for_s: float) -> None:
        lasts_ms = math.ceil(for_s * 1000)
        await self._redis.write(
            lambda: self._client.set(self._key, "open", px=lasts_ms), otherwise=None
        )

    async def remote_open_s(self) -> float:
        left_ms = await self._redis.read(lambda: self._client.pttl(self._key), otherwise=0)
        return max(left_ms, 0) / 1000  # a negative value means that there is no key
