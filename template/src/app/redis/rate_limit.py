"""One rate limit for all processes, kept in Redis.

A short Lua script reserves the next free slot on the clock of Redis, and the caller sleeps until
its slot. So the processes do not need equal clocks, and slots are given in the order of requests.

Exact: no two calls hold the same slot, and the slots obey the limits of the policy.
Approximate:
- A call starts a little later than its slot, because the reply of Redis takes time and a sleep may
  end late. In strict mode the window is extended by the longest time for a reply, so that the calls
  themselves obey the limit too.
- A cancelled caller returns its slot, and the next caller gets it. Callers that already wait keep
  their slots, because they are in other processes. A slot is lost if no caller asks before its
  time, if the process ends while it waits, or if the caller is cancelled while Redis answers.
- While Redis is unavailable, each process enforces its share of the limit: the limit divided by the
  number of processes that called in the last five minutes, in the last answer of Redis, and at least
  one call. Each process also charges its share with every call that Redis admits, and reports its own
  calls (the last 5,000) when Redis is back. So an outage adds at most one burst (strict: one limit) to
  the calls that the policy allows. A process that has never reached Redis takes the whole limit.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from app.redis.client import SharedRedis
from app.redis.slots import US, SharedSlots, Slot
from app.resilience.rate_limit import WINDOW_S, LimitExceededError, LocalLimiter, RateLimitPolicy

# A report has to be short: if Redis needed more than its timeout for it, the outage would not end.
_MAX_REPORTED = 5_000


class _Call(NamedTuple):
    """A call that Redis does not know of, because it was made during an outage."""

    made_at: float
    tokens: int


def _no_calls() -> deque[_Call]:
    return deque(maxlen=_MAX_REPORTED)


class RedisLimiter:
    """A `RateLimiter` shared by all limiters of the same name, as long as Redis answers."""

    def __init__(
        self,
        name: str,
        policy: RateLimitPolicy,
        redis: SharedRedis,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = LocalLimiter(policy, sleep=sleep, clock=clock)
        self._redis = redis
        self._slots = SharedSlots(redis, name, policy)
        self._max_wait_us = math.floor(policy.max_wait_s * US)
        self._owed = _no_calls()
        self._sleep = sleep
        self._clock = clock

    async def acquire(self, tokens: int = 0) -> float:
        slot = await self._reserve(tokens)
        if slot is None:
            waited_s = await self._local.acquire(tokens)
            self._owed.append(_Call(self._clock(), tokens))
            return waited_s
        self._local.share(slot.processes)
        if slot.wait_us > self._max_wait_us:
            raise LimitExceededError(slot.wait_us / US)
        await self._wait_for(slot)
        self._local.charge(tokens)
        return slot.wait_us / US

    async def give_back(self, tokens: int) -> None:
        """If Redis does not answer, its tokens stay reserved, until they are refilled."""
        await self._local.give_back(tokens)
        await self._redis.write(lambda: self._slots.give_back_tokens(tokens), otherwise=None)

    async def cancel(self, tokens: int = 0) -> None:
        """During an outage of Redis, the call is not reported as made."""
        await self._local.cancel(tokens)

        async def ask() -> bool:
            await self._slots.cancel(tokens)
            return True

        if not await self._redis.write(ask, otherwise=False) and self._owed:
            self._owed.pop()

    async def _reserve(self, tokens: int) -> Slot | None:
        """Reserve a slot and report the calls of an outage, which no other caller reports meanwhile."""
        owed, self._owed = self._owed, _no_calls()
        slot: Slot | None = None

        async def ask() -> Slot:
            now = self._clock()
            recent = [call for call in owed if call.made_at > now - WINDOW_S]
            ages_us = [math.floor((now - call.made_at) * US) for call in recent]
            owed_tokens = sum([call.tokens for call in recent])
            return await self._slots.reserve(self._max_wait_us, tokens, ages_us, owed_tokens)

        try:
            slot = await self._redis.write(ask, otherwise=None)
        finally:
            if slot is None:
                owed.extend(self._owed)
                self._owed = owed
        return slot

    async def _wait_for(self, slot: Slot) -> None:
        until = self._clock() + slot.wait_us / US
        try:
            while (left_s := until - self._clock()) > 0:
                await self._sleep(left_s)
        except asyncio.CancelledError:
            await self._redis.write(lambda: self._slots.give_back(slot), otherwise=None)
            raise
