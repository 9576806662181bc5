"""The parts of jobs with the mode `batch` in Redis: a sorted set with the time of each next look.

A worker that claims a part moves its time to the end of a lease, and again with each report. So the
part of a worker that was killed is due when its lease ends, and a worker knows by the time that the
part is still its own.
"""

from typing import Any

from app.backend import Shared
from app.features.jobs.policy import JobsPolicy
from app.features.jobs.redis_keys import JobKeys
from app.features.jobs.redis_store import PARTS
from app.features.jobs.store import Delivery
from app.llm.batch_store import Submission

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
"""

_CLAIM = _NOW + """
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)
if #due == 0 then return {} end
redis.call('ZADD', KEYS[1], now + ARGV[1], due[1])
return {due[1], now + ARGV[1], redis.call('HINCRBY', KEYS[2], due[1], 1)}
"""

# ARGV: the part, its time as this worker has set it, and the milliseconds to its next one.
_MOVE = _NOW + """
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or -1) ~= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
if ARGV[4] == '1' then redis.call('HDEL', KEYS[2], ARGV[1]) end
return now + ARGV[3]
"""

_FINISH = """
if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or -1) ~= tonumber(ARGV[2]) then return 0 end
redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
"""


class RedisParts:
    """A `PartQueue`."""

    def __init__(self, shared: Shared, policy: JobsPolicy) -> None:
        self._keys = JobKeys(shared)
        self._client = shared.client
        self._policy = policy
        self._times: dict[str, int] = {}
        self._claiming = self._client.register_script(_CLAIM)
        self._moving = self._client.register_script(_MOVE)
        self._finishing = self._client.register_script(_FINISH)

    async def claim(self) -> Delivery | None:
        found: list[Any] = await self._keys.write(
            lambda: self._claiming(keys=self._shared_keys, args=[self._lease_ms])
        )
        if not found:
            return None
        name, time_ms, number = found[0].decode(), int(found[1]), int(found[2])
        self._times[name] = time_ms
        job, start, stop = name.split(":")
        return Delivery(name, job, int(start), int(stop), number)

    async def hold(self, part: Delivery) -> bool:
        return await self._move(part, self._lease_ms, is_over=False)

    async def later(self, part: Delivery, delay_s: float) -> None:
        await self._move(part, round(delay_s * 1000), is_over=True)

    async def finish(self, part: Delivery) -> None:
        arguments: list[str | int] = [part.id, self._times.get(part.id, 0)]
        await self._keys.write(lambda: self._finishing(keys=self._shared_keys, args=arguments))

    async def sent(self, part: Delivery) -> list[Submission]:
        key = self._keys.of(part.job, "sent")
        found: Any = await self._keys.read(lambda: self._client.hgetall(key))
        saved = {
            name: Submission.model_validate_json(one)
            for name, one in found.items()
            if name.startswith(_field(part).encode())
        }
        return [saved[name] for name in sorted(saved)]

    async def save(self, part: Delivery, submission: Submission) -> None:
        key = self._keys.of(part.job, "sent")
        field, encoded = _field(part, submission.key), submission.model_dump_json()

        async def ask() -> object:
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.hset(key, field, encoded)
                for each in PARTS:
                    pipe.expire(self._keys.of(part.job, each), self._ttl_s)
                return await pipe.execute()

        await self._keys.write(ask)

    @property
    def _shared_keys(self) -> list[str]:
        return [self._keys.parts, self._keys.claims]

    @property
    def _lease_ms(self) -> int:
        return self._policy.lease_s * 1000

    @property
    def _ttl_s(self) -> int:
        """Each look at a batch renews it, so a job does not expire while the provider has a part."""
        return max(self._policy.results_ttl_s, 2 * self._policy.batch_poll_s + self._policy.lease_s)

    async def _move(self, part: Delivery, delay_ms: int, *, is_over: bool) -> bool:
        """Set the next time of a part that is still ours. `is_over`: this look was not broken off."""
        arguments: list[str | int] = [
            part.id,
            self._times.get(part.id, 0),
            delay_ms,
            int(is_over),
        ]
        moved = await self._keys.write(lambda: self._moving(keys=self._shared_keys, args=arguments))
        if moved:
            self._times[part.id] = int(moved)
        return bool(moved)


def _field(part: Delivery, key: str = "") -> str:
    return f"{part.start}:{key}"
