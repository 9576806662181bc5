"""Open circuits, told to other processes through a Redis.

Who opens a circuit leaves a note that expires when the circuit half-opens. It is no order: a process
that cannot reach anybody would take the provider from all the others. It is a second opinion, so
that one failure of one's own is enough, where alone it would take several.

Redis' expiry is the only clock, so no two processes have to agree on the time. While Redis is gone
each process has only its own view.
"""

import math
import time
from collections.abc import Callable

from redis.asyncio import Redis

from app.shared_redis import Outages


class RedisCircuit:
    """The `SharedCircuit` of all that have its name."""

    def __init__(
        self,
        name: str,
        client: Redis,
        *,
        prefix: str = "app:",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._key = f"{prefix}circuit:{name}"
        self._client = client
        # The limiter, which misses Redis more, asks it for every call and logs that it is gone.
        self._outages = Outages(began=lambda _: None, ended=lambda: None, clock=clock)

    async def opened(self, for_s: float) -> None:
        lasts_ms = math.ceil(for_s * 1000)
        await self._outages.survived(
            lambda: self._client.set(self._key, "open", px=lasts_ms), otherwise=None
        )

    async def open_elsewhere_s(self) -> float:
        left_ms = await self._outages.survived(lambda: self._client.pttl(self._key), otherwise=0)
        return max(left_ms, 0) / 1000  # negative: there is no note
