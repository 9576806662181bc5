"""Jobs and their results in Redis: what the API writes and reads.

A job is a hash with its facts and counts, a hash with the inputs of each batch, a bitmap of the
finished items, and a list of results in the order in which they were stored.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import Any, cast

import orjson

from app.backend import Shared
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_keys import JobKeys, owner_tag, part_name
from app.features.jobs.redis_turns import RedisTurns
from app.features.jobs.store import (
    JobSpec,
    JobsUnavailableError,
    Progress,
    RunsIn,
    TooManyJobsError,
)

PARTS = ("facts", "inputs", "finished", "results", "sent")

# A call must end within half a second, also on a busy machine.
_BATCHES_AT_ONCE = 500
_BYTES_AT_ONCE = 128 * 1024

_ADMIT = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[3])
redis.call('EXPIREAT', KEYS[1], ARGV[2])
return 1
"""

_READY = """
if redis.call('EXISTS', KEYS[1]) == 0 or redis.call('HEXISTS', KEYS[1], 'cancelled') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'ready', 1)
return 1
"""

_CANCEL = """
local total, ok, failed = unpack(redis.call('HMGET', KEYS[1], 'total', 'succeeded', 'failed'))
if not total or ok + failed >= tonumber(total) then return 0 end
return redis.call('HSETNX', KEYS[1], 'cancelled', 1)
"""


class RedisJobs:
    """A `JobStore`."""

    runs_in: RunsIn = "workers"

    def __init__(
        self, shared: Shared, policy: JobsPolicy, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = JobKeys(shared)
        self._turns = RedisTurns(shared)
        self._client = shared.client
        self._policy = policy
        self._clock = clock
        self._admitting = self._client.register_script(_ADMIT)
        self._readying = self._client.register_script(_READY)
        self._cancelling = self._client.register_script(_CANCEL)

    async def add(self, spec: JobSpec, batches: Sequence[Sequence[bytes]]) -> None:
        """No batch begins before the job is ready: one that is broken off here costs nothing."""
        await self._admit(spec)
        try:
            await self._write_facts(spec)
            for inputs in _by_size(_by_start(batches)):
                await self._write_inputs(spec.id, inputs)
            await self._enqueue(spec, batches)
            await self._make_ready(spec.id)
        except BaseException:
            await self._withdraw(spec)
            raise

    async def progress(self, job: str) -> Progress | None:
        return await self._keys.progress(job)

    async def results(self, job: str, after: int, limit: int) -> list[bytes]:
        key = self._keys.of(job, "results")
        found = await self._keys.read(lambda: self._client.lrange(key, after, after + limit - 1))
        return cast("list[bytes]", found)

    async def cancel(self, job: str) -> None:
        keys = [self._keys.of(job, "facts")]
        await self._keys.write(lambda: self._cancelling(keys=keys))
        progress = await self.progress(job)
        if progress is not None and progress.has_ended:
            await self._forget(progress.spec)

    async def _admit(self, spec: JobSpec) -> None:
        now = int(self._clock())
        until = now + self._policy.results_ttl_s
        arguments: list[str | int] = [now, until, spec.id, self._policy.max_per_client]
        keys = [self._keys.unfinished(spec.owner)]
        if not await self._keys.write(lambda: self._admitting(keys=keys, args=arguments)):
            raise TooManyJobsError(self._policy.max_per_client)

    async def _forget(self, spec: JobSpec) -> None:
        """The job no longer counts against the limit of its owner."""
        key = self._keys.unfinished(spec.owner)
        await self._keys.write(lambda: self._client.zrem(key, spec.id))

    async def _make_ready(self, job: str) -> None:
        keys = [self._keys.of(job, "facts")]
        if not await self._keys.write(lambda: self._readying(keys=keys)):
            raise JobsUnavailableError  # a worker has waited for too long, or Redis lost the job

    async def _withdraw(self, spec: JobSpec) -> None:
        """Remove a job that was not queued as a whole: workers drop batches without a job."""
        with suppress(JobsUnavailableError):
            key = self._keys.of(spec.id, "facts")
            await self._keys.write(lambda: self._client.delete(key))
            await self._forget(spec)

    async def _write_facts(self, spec: JobSpec) -> None:
        key = self._keys.of(spec.id, "facts")
        facts: dict[Any, Any] = {
            "spec": orjson.dumps(spec),
            "total": spec.total,
            "succeeded": 0,
            "failed": 0,
        }

        async def ask() -> object:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.hset(key, mapping=facts)
                pipe.expire(key, self._policy.results_ttl_s)
                return await pipe.execute()

        await self._keys.write(ask)

    async def _write_inputs(self, job: str, inputs: Mapping[int, bytes]) -> None:
        key = self._keys.of(job, "inputs")

        async def ask() -> object:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.hset(key, mapping=cast("Mapping[Any, Any]", inputs))
                pipe.expire(key, self._policy.results_ttl_s)
                return await pipe.execute()

        await self._keys.write(ask)

    async def _enqueue(self, spec: JobSpec, batches: Sequence[Sequence[bytes]]) -> None:
        stops = list(accumulate(map(len, batches)))
        ranges = list(zip([0, *stops], stops, strict=False))
        if spec.mode == "batch":
            due_at_once = {part_name(spec.id, *each): 0 for each in ranges}
            await self._keys.write(lambda: self._client.zadd(self._keys.parts, due_at_once))
            return
        owner = owner_tag(spec.owner)
        names = [f"{part_name(spec.id, *each)}:{owner}" for each in ranges]
        for first in range(0, len(names), _BATCHES_AT_ONCE):
            await self._turns.enqueue(owner, names[first : first + _BATCHES_AT_ONCE])


def _by_start(batches: Sequence[Sequence[bytes]]) -> dict[int, bytes]:
    """The inputs of each batch as one JSON array, by the index of its first item."""
    found, start = {}, 0
    for items in batches:
        found[start] = b"[" + b",".join(items) + b"]"
        start += len(items)
    return found


def _by_size(inputs: Mapping[int, bytes]) -> Iterator[dict[int, bytes]]:
    some: dict[int, bytes] = {}
    for start, encoded in inputs.items():
        some[start] = encoded
        if sum(map(len, some.values())) >= _BYTES_AT_ONCE:
            yield some
            some = {}
    if some:
        yield some
