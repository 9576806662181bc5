"""The turns of owners in Redis: batches wait in a sorted set, and enter the stream when they are next.

Each waiting batch has a round. The first of an owner without waiting batches is in the round after the
one that is served now, and each further one is in the round after its predecessor. Batches leave in
the order of rounds. So owners take turns, and between two batches of one owner every other owner is
served at most once, whatever the size of its job.

A script moves a batch into the stream, so a process that is killed loses none: a batch is in the set,
or in the stream.
"""

from collections.abc import Sequence

from app.backend import Shared
from app.features.jobs.redis_keys import JobKeys, part_name
from app.features.jobs.store import Delivery

_ENQUEUE = """
local owner, clock = ARGV[1], redis.call('TIME')
local now = tonumber(redis.call('HGET', KEYS[2], 'now') or 0)
local round = math.max(now, tonumber(redis.call('HGET', KEYS[2], owner) or 0))
for i = 2, #ARGV do
    round = round + 1
    redis.call('ZADD', KEYS[1], round, ARGV[i])
    redis.call('ZADD', KEYS[3], clock[1] * 1000 + math.floor(clock[2] / 1000), ARGV[i])
end
redis.call('HSET', KEYS[2], owner, round)
"""

# An owner is forgotten with its last batch, and all rounds when no batch waits.
_NEXT = """
local found = redis.call('ZPOPMIN', KEYS[1])
if #found == 0 then
    redis.call('DEL', KEYS[2])
    return 0
end
local job, start, stop, owner = string.match(found[1], '^([^:]+):(%d+):(%d+):(%x+)$')
local round = tonumber(found[2])
if round > tonumber(redis.call('HGET', KEYS[2], 'now') or 0) then
    redis.call('HSET', KEYS[2], 'now', round)
end
if tonumber(redis.call('HGET', KEYS[2], owner) or -1) == round then
    redis.call('HDEL', KEYS[2], owner)
end
redis.call('XADD', KEYS[3], '*', 'job', job, 'start', start, 'stop', stop, 'owner', owner)
return 1
"""

FIRST_ROUND = 0  # of a batch that is put back: it is next


class RedisTurns:
    def __init__(self, shared: Shared) -> None:
        self._keys = JobKeys(shared)
        self._enqueuing = shared.client.register_script(_ENQUEUE)
        self._moving = shared.client.register_script(_NEXT)

    async def enqueue(self, owner: str, names: Sequence[str]) -> None:
        keys = [self._keys.waiting, self._keys.rounds, self._keys.since]
        await self._keys.write(lambda: self._enqueuing(keys=keys, args=[owner, *names]))

    async def move_next(self) -> None:
        """Move the next batch into the stream, if one waits."""
        keys = [self._keys.waiting, self._keys.rounds, self._keys.queue]
        await self._keys.write(lambda: self._moving(keys=keys))


def batch_name(delivery: Delivery) -> str:
    return f"{part_name(delivery.job, delivery.start, delivery.stop)}:{delivery.owner}"
