"""The queue of batches, a stream of Redis with one consumer group: what a worker does.

A batch waits for the turn of its owner (`redis_turns`), and is in the stream from then on.

A message stays pending until the worker has stored all results of its batch. While the worker lives,
it reports every second, which resets the idle time of the message. A message that is idle for
`JOBS_LEASE_S` belongs to a worker that was killed, or hangs: another worker claims it. Redis counts
the deliveries.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from secrets import token_hex
from typing import Any, cast

import orjson
from redis.exceptions import ResponseError

from app.backend import Shared
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_keys import JobKeys, progress_of
from app.features.jobs.redis_store import PARTS
from app.features.jobs.redis_turns import FIRST_ROUND, RedisTurns, batch_name
from app.features.jobs.store import Delivery, Depth, Outcome, Work

_GROUP = "workers"
_CLAIMS_PER_LEASE = 4
_RESULTS_AT_ONCE = 16
_IDLE_S = 0.2
# The API queues a job within a second. One that was killed meanwhile never makes it ready.
_READY_TRIES = 100

_BEGIN = """
if redis.call('HEXISTS', KEYS[1], 'ready') == 1 then redis.call('HSETNX', KEYS[1], 'started', 1) end
return redis.call('HGETALL', KEYS[1])
"""

# A worker that was stopped for longer than the lease must not take its batch back from the next one.
_KEEP = f"""
if #redis.call('XPENDING', KEYS[1], '{_GROUP}', ARGV[2], ARGV[2], 1, ARGV[1]) == 0 then return 0 end
redis.call('XCLAIM', KEYS[1], '{_GROUP}', ARGV[1], 0, ARGV[2], 'JUSTID')
return 1
"""

_STORE = """
local facts, inputs, finished, results = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('EXISTS', facts) == 0 or redis.call('HEXISTS', facts, 'cancelled') == 1 then return 0 end
for i = 2, #ARGV, 3 do
    if redis.call('SETBIT', finished, ARGV[i], 1) == 0 then
        redis.call('RPUSH', results, ARGV[i + 2])
        redis.call('HINCRBY', facts, ARGV[i + 1], 1)
    end
end
local total, ok, failed = unpack(redis.call('HMGET', facts, 'total', 'succeeded', 'failed'))
local is_complete = ok + failed >= tonumber(total)
if is_complete then redis.call('DEL', inputs) end
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[1]) end
return is_complete and 1 or 0
"""

# A script, because a pipeline on a cluster takes no TIME.
_DEPTH = """
local clock = redis.call('TIME')
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
local age = #oldest == 0 and 0 or clock[1] * 1000 + math.floor(clock[2] / 1000) - oldest[2]
return {redis.call('ZCARD', KEYS[1]), age, redis.call('ZCARD', KEYS[2])}
"""


class RedisQueue:
    """A `WorkQueue`. Each process of workers has a name of its own."""

    def __init__(
        self,
        shared: Shared,
        policy: JobsPolicy,
        *,
        name: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys = JobKeys(shared)
        self._turns = RedisTurns(shared)
        self._client = shared.client
        self._policy = policy
        self._name = name or token_hex(8)
        self._clock = clock
        self._claim_at = float("-inf")
        self._beginning = self._client.register_script(_BEGIN)
        self._keeping = self._client.register_script(_KEEP)
        self._measuring = self._client.register_script(_DEPTH)
        self._storing = self._client.register_script(_STORE)

    async def take(self) -> Delivery | None:
        """Take the batch of a worker that has gone, or else the next one that was never taken."""
        if self._clock() >= self._claim_at:
            claimed = await self._keys.write(self._claim)
            if claimed is not None:
                return claimed
            self._claim_at = self._clock() + self._policy.lease_s / _CLAIMS_PER_LEASE
        await self._turns.move_next()
        return await self._keys.write(self._read)

    async def wait(self) -> None:
        await asyncio.sleep(_IDLE_S)

    async def load(self, delivery: Delivery) -> Work | None:
        progress = progress_of(await self._ready_facts(delivery.job))
        if progress is None or progress.has_ended:
            return None
        key, field = self._keys.of(delivery.job, "inputs"), str(delivery.start)
        encoded = await self._keys.read(lambda: self._client.hget(key, field))
        finished = await self._finished(delivery.job)
        inputs = {} if encoded is None else dict(enumerate(orjson.loads(encoded), delivery.start))
        missing = [i for i in range(delivery.start, delivery.stop) if not _has_bit(finished, i)]
        items = {i: orjson.dumps(inputs[i]) if i in inputs else None for i in missing}
        return Work(progress.spec, items)

    async def keep(self, delivery: Delivery) -> bool:
        arguments = [self._name, delivery.id]
        ask = lambda: self._keeping(keys=[self._keys.queue], args=arguments)  # noqa: E731
        if not await self._keys.write(ask):
            return False
        key = self._keys.of(delivery.job, "facts")
        return not await self._keys.read(lambda: self._client.hexists(key, "cancelled"))

    async def store(self, job: str, outcomes: Sequence[Outcome]) -> bool:
        is_complete = False
        for first in range(0, len(outcomes), _RESULTS_AT_ONCE):
            some = outcomes[first : first + _RESULTS_AT_ONCE]
            is_complete = await self._store_some(job, some)
        if is_complete:
            await self._forget(job)
        return is_complete

    async def done(self, delivery: Delivery) -> None:
        await self._keys.write(lambda: self._remove(delivery, put_back=False))

    async def put_back(self, delivery: Delivery) -> None:
        """Queue the batch again, as one that was never delivered: its worker stops, and lives."""
        await self._keys.write(lambda: self._remove(delivery, put_back=True))

    async def depth(self) -> Depth:
        keys = [self._keys.since, self._keys.parts]
        batches, oldest_ms, parts = await self._keys.read(lambda: self._measuring(keys=keys))
        return Depth(batches, max(0.0, oldest_ms / 1000), parts)

    async def _claim(self) -> Delivery | None:
        try:
            _, messages, *_ = await self._client.xautoclaim(
                self._keys.queue, _GROUP, self._name, self._policy.lease_s * 1000, count=1
            )
        except ResponseError:
            await self._create_group()
            return None
        if not messages:
            return None
        message, facts = messages[0]
        pending: list[Any] = await self._client.xpending_range(
            self._keys.queue, _GROUP, message, message, count=1
        )
        return _delivery(message, facts, pending[0]["times_delivered"] if pending else 1)

    async def _read(self) -> Delivery | None:
        """Without waiting in Redis: a call that waits is one that times out on a busy machine."""
        try:
            streams = await self._client.xreadgroup(
                _GROUP, self._name, {self._keys.queue: ">"}, count=1
            )
        except ResponseError:
            await self._create_group()
            return None
        found = cast("list[Any]", streams)
        return _delivery(*found[0][1][0]) if found else None

    async def _create_group(self) -> None:
        """At the first start, and when Redis has lost its data. Any other error is raised again."""
        try:
            await self._client.xgroup_create(self._keys.queue, _GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _ready_facts(self, job: str) -> dict[bytes, bytes]:
        """Wait until the API has queued all batches of the job. If it never does, cancel the job."""
        for _ in range(_READY_TRIES):
            facts = await self._keys.write(lambda: self._begin(job))
            if not facts or b"ready" in facts or b"cancelled" in facts:
                return facts
            await asyncio.sleep(_IDLE_S)
        await self._keys.write(
            lambda: self._client.hset(self._keys.of(job, "facts"), "cancelled", "1")
        )
        return await self._keys.write(lambda: self._begin(job))

    async def _begin(self, job: str) -> dict[bytes, bytes]:
        flat: list[bytes] = await self._beginning(keys=[self._keys.of(job, "facts")])
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def _finished(self, job: str) -> bytes:
        key = self._keys.of(job, "finished")
        return cast("bytes", await self._keys.read(lambda: self._client.get(key)) or b"")

    async def _store_some(self, job: str, outcomes: Sequence[Outcome]) -> bool:
        keys = [self._keys.of(job, part) for part in PARTS]
        arguments: list[Any] = [self._policy.results_ttl_s]
        for one in outcomes:
            count = "succeeded" if one.is_success else "failed"
            arguments += [one.index, count, one.encoded]
        return bool(await self._keys.write(lambda: self._storing(keys=keys, args=arguments)))

    async def _forget(self, job: str) -> None:
        """The job no longer counts against the limit of its owner."""
        if (progress := await self._keys.progress(job)) is not None:
            key = self._keys.unfinished(progress.spec.owner)
            await self._keys.write(lambda: self._client.zrem(key, job))

    async def _remove(self, delivery: Delivery, *, put_back: bool) -> object:
        async with self._client.pipeline(transaction=True) as pipe:
            pipe.xack(self._keys.queue, _GROUP, delivery.id)
            pipe.xdel(self._keys.queue, delivery.id)
            if put_back:
                pipe.zadd(self._keys.waiting, {batch_name(delivery): FIRST_ROUND})
            else:
                pipe.zrem(self._keys.since, batch_name(delivery))
            return await pipe.execute()


def _delivery(message: bytes, facts: dict[bytes, bytes], number: int = 1) -> Delivery:
    start, stop = int(facts[b"start"]), int(facts[b"stop"])
    job, owner = facts[b"job"].decode(), facts[b"owner"].decode()
    return Delivery(message.decode(), job, start, stop, number, owner)


def _has_bit(bits: bytes, index: int) -> bool:
    """Redis numbers bits from the highest one of the first byte."""
    byte = index // 8
    return byte < len(bits) and bool(bits[byte] >> (7 - index % 8) & 1)
