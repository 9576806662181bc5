"""One limit for all processes, kept by a Redis.

A short script reserves the next free slot, on Redis' own clock: a caller sleeps until its slot, so
no two processes have to agree on the time of day, and the order of asking is the order of slots.

Exact: no two calls hold one slot, and the slots keep the promise of the policy. Nearly so:
- a call is made later than its slot by the way back from Redis and by how late a sleep ends. In
  strict mode the window is longer by the longest way, so the promise holds for the calls as well;
- who is cancelled gives the slot back, and the next one to ask gets it. Those who wait already
  keep theirs: they are in other processes. A slot is lost when nobody asks before its time, when
  the process ends while it waits, or when it is cancelled while Redis answers;
- while Redis is gone each process keeps the limit for itself.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import NamedTuple, Protocol

import structlog
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from app.resilience.rate_limit import WINDOW_S, LimitExceededError, LocalLimiter, RateLimitPolicy
from app.shared_redis import TIMEOUT_S, Outages

_log = structlog.get_logger(__name__)
_US = 1_000_000  # Redis' clock counts microseconds, and whole ones survive every number format


class _Slot(NamedTuple):
    """A time of Redis' clock that belongs to one call, if the wait until then is not too long."""

    id: str
    wait_us: int
    at_us: int


class RedisLimiter:
    """A `RateLimiter` whose limit is shared by all that have its name, as long as Redis answers."""

    def __init__(
        self,
        name: str,
        policy: RateLimitPolicy,
        client: Redis,
        *,
        prefix: str = "app:",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = LocalLimiter(policy, sleep=sleep, clock=clock)
        key = f"{prefix}rate_limit:{name}"
        self._slots: _Slots = (
            _SharedLog(client, f"{key}:log", policy)
            if policy.strict
            else _SharedBucket(client, f"{key}:bucket", policy)
        )
        self._max_wait_us = math.floor(policy.max_wait_s * _US)
        self._sleep = sleep
        self._clock = clock
        self._outages = Outages(
            began=lambda error: _log.warning(
                "rate_limit.local", limiter=name, error=type(error).__name__
            ),
            ended=lambda: _log.info("rate_limit.shared", limiter=name),
            clock=clock,
        )

    async def acquire(self) -> float:
        slot = await self._outages.survived(self._reserve, otherwise=None)
        if slot is None:
            return await self._local.acquire()
        if slot.wait_us > self._max_wait_us:
            raise LimitExceededError(slot.wait_us / _US)
        await self._wait_for(slot)
        return slot.wait_us / _US

    async def _reserve(self) -> _Slot | None:
        return await self._slots.reserve(self._max_wait_us)

    async def _wait_for(self, slot: _Slot) -> None:
        until = self._clock() + slot.wait_us / _US
        try:
            while (left_s := until - self._clock()) > 0:
                await self._sleep(left_s)
        except asyncio.CancelledError:
            await self._outages.survived(lambda: self._slots.give_back(slot), otherwise=None)
            raise


class _Slots(Protocol):
    async def reserve(self, max_wait_us: int, /) -> _Slot:
        """Take the next free slot; only look at it when it is further away than `max_wait_us`."""
        ...

    async def give_back(self, slot: _Slot, /) -> None: ...


class _SharedBucket:
    """`full` is when the bucket is full again; the other members are slots that were given back.

    They are all before `full`, and what has passed is of no more use: a bucket whose `full` has
    passed is full. Computing with whole microseconds makes an interval longer, never shorter.
    """

    _SCRIPT = """
    local key, id = KEYS[1], ARGV[1]
    local max_wait, interval, fills_in = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
    local clock = redis.call('TIME')
    local now = clock[1] * 1000000 + clock[2]

    redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('(%.0f', now))
    local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
    if first[1] and first[1] ~= 'full' then
        local given_back = tonumber(first[2])
        if given_back - now <= max_wait then redis.call('ZREM', key, first[1]) end
        return {given_back - now, given_back}
    end

    local full = tonumber(first[2] or now)
    local slot = math.max(now, full - fills_in)
    if slot - now <= max_wait then
        redis.call('ZADD', key, string.format('%.0f', full + interval), 'full')
        redis.call('PEXPIRE', key, math.ceil((full + interval - now) / 1000) + 5000)
    end
    return {slot - now, slot}
    """

    def __init__(self, client: Redis, key: str, policy: RateLimitPolicy) -> None:
        interval_us = math.ceil(policy.interval_s * _US)
        self._client = client
        self._key = key
        self._script = client.register_script(self._SCRIPT)
        self._numbers = (interval_us, (policy.bucket - 1) * interval_us)

    async def reserve(self, max_wait_us: int) -> _Slot:
        return await _reserved(self._script, self._key, max_wait_us, *self._numbers)

    async def give_back(self, slot: _Slot) -> None:
        await self._client.zadd(self._key, {slot.id: slot.at_us})


class _SharedLog:
    """The slots of the last window and those still to come, one member each.

    A new slot is a window after the one that is `limit` places before the newest. It cannot break
    the promise, in whatever order slots were taken and given back: fewer than `limit` others are
    within a window of it.
    """

    _SCRIPT = """
    local key, id = KEYS[1], ARGV[1]
    local max_wait, limit, window = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
    local clock = redis.call('TIME')
    local now = clock[1] * 1000000 + clock[2]

    redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now - window))
    local before = redis.call('ZREVRANGE', key, limit - 1, limit - 1, 'WITHSCORES')
    local slot = now
    if before[2] then slot = math.max(now, tonumber(before[2]) + window) end
    if slot - now <= max_wait then
        redis.call('ZADD', key, string.format('%.0f', slot), id)
        redis.call('PEXPIRE', key, math.ceil((slot - now + window) / 1000) + 5000)
    end
    return {slot - now, slot}
    """

    def __init__(self, client: Redis, key: str, policy: RateLimitPolicy) -> None:
        self._client = client
        self._key = key
        self._script = client.register_script(self._SCRIPT)
        self._numbers = (policy.requests_per_minute, math.ceil((WINDOW_S + TIMEOUT_S) * _US))

    async def reserve(self, max_wait_us: int) -> _Slot:
        return await _reserved(self._script, self._key, max_wait_us, *self._numbers)

    async def give_back(self, slot: _Slot) -> None:
        await self._client.zrem(self._key, slot.id)


async def _reserved(script: AsyncScript, key: str, max_wait_us: int, *numbers: int) -> _Slot:
    """Run the script by its hash. redis-py loads it when Redis does not know it (any more)."""
    slot_id = token_hex(8)
    wait_us, at_us = await script(keys=[key], args=[slot_id, max_wait_us, *numbers])
    return _Slot(slot_id, int(wait_us), int(at_us))
