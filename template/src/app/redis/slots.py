"""The times of calls to one provider, given by Redis: the Lua scripts of `app.redis.rate_limit`.

One script call decides on the request and on its tokens. All numbers are microseconds on the clock of
Redis, as whole numbers, which survive every number format; tokens are counted by the time in which
the limit refills them.

A limit has up to three keys, which all expire: the calls, their tokens, and the processes that have
called in the last five minutes.
"""

import math
from collections.abc import Sequence
from secrets import token_hex
from typing import NamedTuple

from app.redis.client import TIMEOUT_S, SharedRedis
from app.resilience.rate_limit import WINDOW_S, RateLimitPolicy

US = 1_000_000
_WINDOW_US = int(WINDOW_S * US)
_REMEMBERED_US = 300 * US


class Slot(NamedTuple):
    """A time on Redis' clock, reserved for one call unless the wait until then is too long."""

    id: str
    wait_us: int
    at_us: int
    processes: int
    tokens_us: int = 0


# ARGV: id of the slot, id of the process, longest wait, two numbers of the policy, tokens, tokens of
# an outage, and the ages of the calls of an outage.
_PRELUDE = f"""
local WINDOW, REMEMBERED = {_WINDOW_US}, {_REMEMBERED_US}
local key, tokens_key, processes = KEYS[1], KEYS[2], KEYS[3]
local id, max_wait = ARGV[1], tonumber(ARGV[3])
local first_number, second_number = tonumber(ARGV[4]), tonumber(ARGV[5])
local tokens, owed_tokens, owed = tonumber(ARGV[6]), tonumber(ARGV[7]), #ARGV - 7
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function text(number) return string.format('%.0f', number) end
local function expire(of, at)
    redis.call('PEXPIRE', of, math.max(0, math.ceil((at - now) / 1000)) + 5000)
end

redis.call('ZADD', processes, text(now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', processes, '-inf', text(now - REMEMBERED))
expire(processes, now + REMEMBERED)
local function reply(slot) return {{slot - now, slot, redis.call('ZCARD', processes)}} end
"""

_WITHOUT_TOKENS = """
local earliest = now
local function take_tokens(slot) end
"""

# A sorted set: `full` is the time when the bucket of tokens is full again; other members are callers
# that wait, with their slots. No call gets a slot before theirs, although tokens that are given back
# could allow it.
_WITH_TOKENS = """
redis.call('ZREMRANGEBYSCORE', tokens_key, '-inf', '(' .. text(now))
local tokens_full = tonumber(redis.call('ZSCORE', tokens_key, 'full') or now)
local function save_tokens(full)
    redis.call('ZADD', tokens_key, text(full), 'full')
    expire(tokens_key, full + max_wait)
end
if owed_tokens > 0 then
    tokens_full = math.max(tokens_full, math.min(tokens_full + owed_tokens, now + WINDOW))
    save_tokens(tokens_full)
end

local earliest = math.max(now, tokens_full + tokens - WINDOW)
local last = redis.call('ZREVRANGE', tokens_key, 0, 1, 'WITHSCORES')
for i = 1, #last, 2 do
    if last[i] ~= 'full' then earliest = math.max(earliest, tonumber(last[i + 1])) end
end
local function take_tokens(slot)
    save_tokens(math.max(tokens_full, slot) + tokens)
    if slot > now then redis.call('ZADD', tokens_key, text(slot), id) end
end
"""

# A sorted set: `full` is the time when the bucket is full again; other members are free slots. The
# free slots were returned by cancelled callers, and all of them are before `full`. Times in the past
# are not needed: if `full` is in the past, the bucket is full. Calls of an outage empty the bucket at
# most.
_BUCKET = """
local interval, fills_in = first_number, second_number
local function save(full)
    redis.call('ZADD', key, text(full), 'full')
    expire(key, full)
end
redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. text(now))
if owed > 0 then
    local full = tonumber(redis.call('ZSCORE', key, 'full') or now)
    save(math.max(full, math.min(full + owed * interval, now + fills_in + interval)))
end

local full = math.max(earliest, tonumber(redis.call('ZSCORE', key, 'full') or now))
local slot = math.max(earliest, full - fills_in)
local range = {text(earliest), text(slot), 'LIMIT', 0, 1}
local free = redis.call('ZRANGEBYSCORE', key, unpack(range))[1]
if free == 'full' then free = nil end
if free then slot = tonumber(redis.call('ZSCORE', key, free)) end
if slot - now <= max_wait then
    if free then redis.call('ZREM', key, free) else save(full + interval) end
    take_tokens(slot)
end
return reply(slot)
"""

# A sorted set with one member for each slot of the last window and each future slot. A new slot is one
# window after the slot that is `limit` places before the newest one. Fewer than `limit` other slots are
# within a window of the new slot, so the limit holds for any order of reserving and returning slots.
_LOG = """
local limit, window = first_number, second_number
redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now - window))
for i = 8, #ARGV do
    redis.call('ZADD', key, text(now - tonumber(ARGV[i])), id .. '-' .. i)
    expire(key, now + window)
end

local before = redis.call('ZREVRANGE', key, limit - 1, limit - 1, 'WITHSCORES')
local slot = earliest
if before[2] then slot = math.max(earliest, tonumber(before[2]) + window) end
if slot - now <= max_wait then
    redis.call('ZADD', key, text(slot), id)
    expire(key, slot + window)
    take_tokens(slot)
end
return reply(slot)
"""

# ARGV: a change of the tokens. The bucket of tokens may owe tokens, if calls used more than reserved.
_CHANGE_TOKENS = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local full = tonumber(redis.call('ZSCORE', KEYS[1], 'full') or now)
full = math.max(now, full) + tonumber(ARGV[1])
redis.call('ZADD', KEYS[1], string.format('%.0f', full), 'full')
if redis.call('PTTL', KEYS[1]) < (full - now) / 1000 + 5000 then
    redis.call('PEXPIRE', KEYS[1], math.max(0, math.ceil((full - now) / 1000)) + 5000)
end
return 1
"""


# Removes the newest call that has had its turn, for a call that was not made. That one may be older, by
# the time that a call waits for a connection: by so much, calls start later than their slots anyway.
# ARGV: the interval of calls; 0 for a log.
_CANCEL = """
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000000 + clock[2])
if ARGV[1] == '0' then
    local newest = redis.call('ZREVRANGEBYSCORE', KEYS[1], now, '-inf', 'LIMIT', 0, 1)[1]
    if newest then redis.call('ZREM', KEYS[1], newest) end
elseif redis.call('ZSCORE', KEYS[1], 'full') then
    redis.call('ZINCRBY', KEYS[1], '-' .. ARGV[1], 'full')
end
return 1
"""


class SharedSlots:
    """The slots of one limit. Every call raises the errors of Redis."""

    def __init__(self, redis: SharedRedis, name: str, policy: RateLimitPolicy) -> None:
        kind = "log" if policy.strict else "bucket"
        self._keys = [redis.tagged(name, "limit", part) for part in (kind, "tokens", "processes")]
        self._client = redis.client
        self._policy = policy
        self._process = token_hex(8)
        self._numbers = _numbers(policy)
        tokens = _WITH_TOKENS if policy.tokens_per_minute else _WITHOUT_TOKENS
        calls = _LOG if policy.strict else _BUCKET
        # redis-py runs a script by its hash, and loads it when Redis does not have it.
        self._reserve = redis.client.register_script(_PRELUDE + tokens + calls)
        self._change_tokens = redis.client.register_script(_CHANGE_TOKENS)
        self._cancel = redis.client.register_script(_CANCEL)

    async def reserve(
        self, max_wait_us: int, tokens: int, owed_ages_us: Sequence[int], owed_tokens: int
    ) -> Slot:
        """Reserve the next free slot. If it is more than `max_wait_us` away, only return it.

        The calls that this process has made without Redis, so many microseconds ago, are recorded
        before.
        """
        slot_id, tokens_us = token_hex(8), self._us(tokens)
        numbers = (max_wait_us, *self._numbers, tokens_us, self._us(owed_tokens), *owed_ages_us)
        args: list[str | int] = [slot_id, self._process, *numbers]
        wait_us, at_us, processes = await self._reserve(keys=self._keys, args=args)
        return Slot(slot_id, int(wait_us), int(at_us), int(processes), tokens_us)

    async def give_back(self, slot: Slot) -> None:
        """Return the slot and the tokens of a call that is not made after all."""
        calls, tokens, _ = self._keys
        if self._policy.strict:
            await self._client.zrem(calls, slot.id)
        else:
            await self._client.zadd(calls, {slot.id: slot.at_us})
        if slot.tokens_us:
            await self._client.zrem(tokens, slot.id)
            await self._change_tokens(keys=[tokens], args=[-slot.tokens_us])

    async def cancel(self, tokens: int) -> None:
        """Return a turn of a moment ago, of a call that was not made, and its tokens."""
        interval_us = 0 if self._policy.strict else self._numbers[0]
        await self._cancel(keys=[self._keys[0]], args=[interval_us])
        if tokens:
            await self.give_back_tokens(tokens)

    async def give_back_tokens(self, tokens: int) -> None:
        """Change the tokens of a call that was made. Below 0: it used more than reserved."""
        await self._change_tokens(keys=[self._keys[1]], args=[-self._us(tokens)])

    def _us(self, tokens: int) -> int:
        return math.ceil(self._policy.refill_s(tokens) * US)


def _numbers(policy: RateLimitPolicy) -> tuple[int, int]:
    """Of the log: the limit, and the window and the longest time for a reply of Redis.

    Of the bucket: the interval of calls, rounded up so that it is never too short, and the time
    in which the empty bucket has filled for all calls but one.
    """
    if policy.strict:
        return policy.requests_per_minute, math.ceil((WINDOW_S + TIMEOUT_S) * US)
    interval_us = math.ceil(policy.interval_s * US)
    return interval_us, (policy.bucket - 1) * interval_us
