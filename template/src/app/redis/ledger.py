"""One ledger for all processes, kept in Redis.

A short Lua script decides and records in one round trip, on the clock of Redis. Each client has two
keys on one node of a cluster: a hash with the use of each slot and of the day, and a sorted set with
the requests in flight.

Exact: while Redis answers, admitted requests never exceed a limit, except by the use of the requests
in flight. Approximate:
- While Redis is unavailable, each process enforces the limits by itself, with the use it knows: its
  own. It adds the tokens and dollars of this time to Redis when Redis is back.
- A process that is killed leaves its requests in flight behind. They expire after `LEASE_S`.
"""

from itertools import count
from secrets import token_hex
from typing import cast

from app.clients.ledger import (
    CONCURRENCY_WAIT_S,
    DAY_S,
    SLOT_S,
    SLOTS,
    Hold,
    Limit,
    LocalLedger,
    Standing,
    Use,
)
from app.clients.policy import ClientLimits
from app.redis.client import SharedRedis

# Longer than most answers take. A stream that is longer no longer counts as a request in flight.
LEASE_S = 300

_PRELUDE = f"""
local SLOT, SLOTS, DAY = {SLOT_S}, {SLOTS}, {DAY_S}
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local slot, today = math.floor(now / SLOT), math.floor(now / DAY)
local key, flights = KEYS[1], KEYS[2]
"""

# ARGV: id, tokens, nanodollars, limits of requests, tokens, concurrency and nanodollars (-1: none),
# own tokens, own nanodollars, lease, and 1 for a new request or 0 for an extension.
_RESERVE = _PRELUDE + """
local id, tokens, nanousd = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local max_requests, max_tokens = tonumber(ARGV[4]), tonumber(ARGV[5])
local max_flights, max_nanousd = tonumber(ARGV[6]), tonumber(ARGV[7])
local own_tokens, own_nanousd, lease = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local is_new = ARGV[11] == '1'

local counts, totals, spent = {r = {}, t = {}}, {r = 0, t = 0}, 0
local found = redis.call('HGETALL', key)
for i = 1, #found, 2 do
    local kind, at = found[i]:sub(1, 1), tonumber(found[i]:sub(3))
    local count = tonumber(found[i + 1])
    if kind == 'd' and at == today then
        spent = count
    elseif kind == 'd' or at <= slot - SLOTS then
        redis.call('HDEL', key, found[i])
    else
        counts[kind][at] = count
        totals[kind] = totals[kind] + count
    end
end

local function free_in(kind, used, limit)
    local wait = 0
    for at = slot - SLOTS + 1, slot do
        if used < limit then break end
        local count = counts[kind][at]
        if count then
            used = used - count
            wait = (at + SLOTS) * SLOT - now
        end
    end
    return wait
end

local function refused(why, wait)
    return {why, math.ceil(wait * 1000), 0, 0, slot, today}
end

if is_new and max_flights >= 0 then
    redis.call('ZREMRANGEBYSCORE', flights, '-inf', now)
    if redis.call('ZCARD', flights) >= max_flights then return refused('concurrency', 0) end
end
if is_new and max_requests >= 0 and totals.r >= max_requests then
    return refused('requests', free_in('r', totals.r, max_requests))
end
local others = totals.t - own_tokens
if max_tokens >= 0 and others >= max_tokens then
    return refused('tokens', free_in('t', others, max_tokens))
end
if max_nanousd >= 0 and spent - own_nanousd >= max_nanousd then
    return refused('budget', (today + 1) * DAY - now)
end

if is_new then
    redis.call('HINCRBY', key, 'r:' .. slot, 1)
    if max_flights >= 0 then
        redis.call('ZADD', flights, now + lease, id)
        redis.call('EXPIRE', flights, lease + 5)
    end
end
if tokens ~= 0 then redis.call('HINCRBY', key, 't:' .. slot, tokens) end
if nanousd ~= 0 then redis.call('HINCRBY', key, 'd:' .. today, nanousd) end
redis.call('EXPIRE', key, DAY + SLOT * SLOTS)
return {'', 0, max_requests - totals.r - 1, max_tokens - totals.t, slot, today}
"""

# ARGV: id, change of tokens and of nanodollars, slot and day of the reservation, change of requests. A
# reservation of a past slot or day is not given back, and a use above it counts now.
_SETTLE = _PRELUDE + """
local id, tokens, nanousd = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at, day, requests = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
redis.call('ZREM', flights, id)
if requests ~= 0 and at > slot - SLOTS then redis.call('HINCRBY', key, 'r:' .. at, requests) end
if at <= slot - SLOTS then
    at, tokens = slot, math.max(0, tokens)
end
if day ~= today then
    day, nanousd = today, math.max(0, nanousd)
end
if tokens ~= 0 then redis.call('HINCRBY', key, 't:' .. at, tokens) end
if nanousd ~= 0 then redis.call('HINCRBY', key, 'd:' .. day, nanousd) end
redis.call('EXPIRE', key, DAY + SLOT * SLOTS)
return 1
"""


class RedisLedger:
    """A `Ledger` shared by all processes with the same Redis and prefix, as long as Redis answers."""

    def __init__(self, redis: SharedRedis) -> None:
        self._local = LocalLedger()
        self._process = token_hex(8)
        self._numbers = count()
        self._redis = redis
        self._owed: dict[str, Use] = {}  # by client: used during an outage
        self._reserve_script = redis.client.register_script(_RESERVE)
        self._settle_script = redis.client.register_script(_SETTLE)

    async def open(self, hold: Hold) -> Standing:
        hold.id = f"{self._process}-{next(self._numbers)}"
        found = await self._reserve(hold, hold.use, is_new=True)
        if found is None:
            return await self._local.open(hold)
        hold.slot, hold.day, hold.is_shared = int(found[4]), int(found[5]), True
        if (owed := self._owed.pop(hold.client, None)) is not None:
            await self._change(hold, owed, ends=False)
        return _standing(found)

    async def extend(self, hold: Hold, more: Use) -> Standing:
        if not hold.is_shared:
            return await self._local.extend(hold, more)
        found = await self._reserve(hold, more, is_new=False)
        if found is None:
            return Standing()  # admitted before the outage
        standing = _standing(found)
        if standing.refused is None:
            hold.use = hold.use.plus(more)
        return standing

    async def settle(self, hold: Hold, used: Use) -> None:
        if hold.is_shared:
            await self._local.add(hold, used)  # to know its own use, should Redis go
            await self._change(hold, used.minus(hold.use), ends=True)
        else:
            await self._local.settle(hold, used)
            self._owe(hold.client, used)

    async def add(self, hold: Hold, used: Use) -> None:
        await self._local.add(hold, used)
        if hold.is_shared:
            await self._change(hold, used, ends=False)
        else:
            self._owe(hold.client, used)

    def _owe(self, client: str, used: Use) -> None:
        self._owed[client] = self._owed.get(client, Use()).plus(used)

    async def _reserve(self, hold: Hold, use: Use, *, is_new: bool) -> list[bytes | int] | None:
        own = Use() if is_new else hold.use
        limits = _limits(hold.limits)
        args: list[str | int] = [hold.id, use.tokens, use.nanousd, *limits]
        args += [own.tokens, own.nanousd, LEASE_S, int(is_new)]

        async def ask() -> list[bytes | int] | None:
            found: list[bytes | int] = await self._reserve_script(keys=self._keys(hold), args=args)
            return found

        return await self._redis.write(ask, otherwise=None)

    async def _change(self, hold: Hold, change: Use, *, ends: bool) -> None:
        flight = hold.id if ends else ""
        requests = -1 if ends and not hold.is_counted else 0
        args: list[str | int] = [flight, *change, hold.slot, hold.day, requests]

        async def ask() -> None:
            await self._settle_script(keys=self._keys(hold), args=args)

        await self._redis.write(ask, otherwise=None)

    def _keys(self, hold: Hold) -> list[str]:
        return [self._redis.tagged(f"client-{hold.client}", part) for part in ("used", "flights")]


def _limits(limits: ClientLimits) -> list[int]:
    found = (
        limits.requests_per_minute,
        limits.tokens_per_minute,
        limits.concurrency,
        limits.budget_nanousd,
    )
    return [-1 if limit is None else limit for limit in found]


def _standing(found: list[bytes | int]) -> Standing:
    why, wait_ms, requests_left, tokens_left, *_ = found
    if not why:
        return Standing(
            requests_left=max(0, int(requests_left)), tokens_left=max(0, int(tokens_left))
        )
    refused = cast("Limit", why.decode() if isinstance(why, bytes) else why)
    return Standing(
        refused, CONCURRENCY_WAIT_S if refused == "concurrency" else int(wait_ms) / 1000
    )
