"""A slot of a cluster moves to another node, as in a resharding, while the service's scripts run on its keys.

The node that gives the slot away answers ASK for keys that are gone, TRYAGAIN to a script with keys on both
sides, and MOVED when the other node owns the slot. The tests change the cluster of `REDIS_TEST_URL`, so they run
only if `REDIS_TEST_SLOTS` is set.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
from redis.asyncio import Redis, RedisCluster

from app.clients.ledger import Hold, Use
from app.clients.policy import ClientLimits
from app.redis.client import SharedRedis, open_redis
from app.redis.ledger import RedisLedger
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import RateLimitPolicy
from app.testing import CapturedLogs
from tests.redis.calling import LATE_S, calling, until
from tests.resilience.arrivals import overdraft

BURST, PER_MINUTE = 20, 600
LIMITS = ClientLimits(requests_per_minute=30, concurrency=5)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        "REDIS_TEST_SLOTS" not in os.environ, reason="needs a cluster that may be changed"
    ),
]


@dataclass(frozen=True)
class Move:
    """The steps of `redis-cli --cluster reshard` for one slot."""

    slot: int
    source: Redis
    target: Redis
    target_at: tuple[str, int]
    other: Redis

    async def begin(self) -> None:
        await _cluster(self.target, "SETSLOT", self.slot, "IMPORTING", await _id(self.source))
        await _cluster(self.source, "SETSLOT", self.slot, "MIGRATING", await _id(self.target))

    async def keys(self) -> None:
        host, port = self.target_at
        while keys := await _cluster(self.source, "GETKEYSINSLOT", self.slot, 100):
            await _run(self.source, "MIGRATE", host, port, "", 0, 5000, "KEYS", *keys)

    async def end(self) -> None:
        for node in (self.target, self.source, self.other):
            await _cluster(node, "SETSLOT", self.slot, "NODE", await _id(self.target))

    async def answers(self, error: str) -> int:
        """How often the node that gives the slot away has answered with this error."""
        counts = (await self.source.info("errorstats")).get(f"errorstat_{error}", {"count": 0})
        return int(counts["count"])


async def _cluster(node: Redis, *command: object) -> Any:
    return await _run(node, "CLUSTER", *command)


async def _run(node: Redis, *command: object) -> Any:
    return await cast("Any", node).execute_command(*command)


async def _id(node: Redis) -> bytes:
    return bytes(await _cluster(node, "MYID"))


@asynccontextmanager
async def move_of(redis: SharedRedis, key: str) -> AsyncIterator[Move]:
    """The move of the key's slot from its node to another one."""
    client = cast("Any", redis.client)
    assert isinstance(client, RedisCluster)
    await client.initialize()
    source: Any = client.get_node_from_key(key)
    nodes: list[Any] = client.get_primaries()
    target, other = (node for node in nodes if node.name != source.name)
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Redis(host=node.host, port=node.port))
            for node in (source, target, other)
        ]
        yield Move(
            client.keyslot(key), clients[0], clients[1], (target.host, target.port), clients[2]
        )


async def more(made: list[float], calls: int = 5) -> None:
    enough = len(made) + calls
    await until(lambda: len(made) >= enough)


async def test_a_slot_that_moves_fails_no_call_and_keeps_the_counts(
    url: str, name: str, logs: CapturedLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All keys of each script are there, so each answer is exact, and there is no outage."""
    monkeypatch.setattr("app.redis.client.TIMEOUT_S", 10.0)  # a busy machine is no outage
    policy = RateLimitPolicy(
        requests_per_minute=PER_MINUTE, burst=BURST, tokens_per_minute=1_000_000, max_wait_s=600
    )
    made: list[float] = []
    async with (
        open_redis(url) as redis,
        counting_client(redis, name) as admitted,
        move_of(redis, redis.tagged(name, "any")) as move,
        calling(RedisLimiter(name, policy, redis), made, tokens=1),
    ):
        await more(made, 2 * BURST)
        before = {error: await move.answers(error) for error in ("ASK", "MOVED")}
        for step in (move.begin, move.keys, move.end):
            await step()
            await more(made)
        after = {error: await move.answers(error) for error in before}
        await until(lambda: len(admitted) >= 30)
        await asyncio.sleep(0.5)  # time for one request too many
    assert all(after[error] > before[error] for error in before)
    assert logs.events("redis.unavailable") == []
    assert overdraft(made, burst=BURST, per_minute=PER_MINUTE) <= LATE_S * PER_MINUTE / 60
    assert len(admitted) == LIMITS.requests_per_minute


@asynccontextmanager
async def counting_client(redis: SharedRedis, name: str) -> AsyncIterator[list[Hold]]:
    """The requests that the ledger admits, one after another, beside one that is in flight throughout."""
    ledger = RedisLedger(redis)
    admitted = [Hold(name, LIMITS, Use(1, 1))]
    assert (await ledger.open(admitted[0])).refused is None
    task = asyncio.create_task(_ask_again_and_again(ledger, name, admitted))
    try:
        yield admitted
    finally:
        assert task.cancel(), task.exception()
        await ledger.settle(admitted[0], Use(1, 1))


async def _ask_again_and_again(ledger: RedisLedger, name: str, admitted: list[Hold]) -> None:
    while True:
        hold = Hold(name, LIMITS, Use(1, 1))
        if (await ledger.open(hold)).refused is None:
            admitted.append(hold)
            await ledger.settle(hold, Use(1, 1))
        await asyncio.sleep(0.1)


async def test_a_script_without_one_of_its_keys_works_without_redis_until_the_slot_has_moved(
    url: str, name: str, logs: CapturedLogs
) -> None:
    """A limit without tokens has no key of tokens: Redis answers TRYAGAIN until the move ends."""
    policy = RateLimitPolicy(requests_per_minute=PER_MINUTE, burst=BURST, max_wait_s=600)
    made: list[float] = []
    async with (
        open_redis(url) as redis,
        move_of(redis, redis.tagged(name, "any")) as move,
        calling(RedisLimiter(name, policy, redis), made),
    ):
        await more(made, 2 * BURST)
        await move.begin()
        await until(lambda: bool(logs.events("redis.unavailable")))
        await more(made)
        await move.keys()
        await move.end()
        await more(made)
        await until(lambda: _counts(logs)[0] == _counts(logs)[1])
        await more(made)
        assert await move.answers("TRYAGAIN") > 0
    outages, _ = _counts(logs)
    assert (
        overdraft(made, burst=(1 + outages) * BURST, per_minute=PER_MINUTE)
        <= LATE_S * PER_MINUTE / 60
    )


def _counts(logs: CapturedLogs) -> tuple[int, int]:
    return len(logs.events("redis.unavailable")), len(logs.events("redis.recovered"))
