"""A ledger in Redis: round trips, places of lost requests, several processes, outages."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as NotThereError

from app.clients.ledger import Use
from app.redis.client import SharedRedis
from app.redis.ledger import LEASE_S, RedisLedger
from tests.clients.ledgers import Clock, hold, refused
from tests.redis.stepped_clock import SteppedClock

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def ledger(redis: SharedRedis) -> RedisLedger:
    return RedisLedger(redis)


async def test_a_reservation_is_one_round_trip(
    ledger: RedisLedger, redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.open(hold(requests_per_minute=9))  # loads the script
    sent = counted(redis, monkeypatch)
    await ledger.open(
        hold(
            Use(1, 1),
            requests_per_minute=9,
            tokens_per_minute=9,
            concurrency=9,
            budget_usd_per_day=9,
        )
    )
    assert sent == ["EVALSHA"]


async def test_a_lost_request_leaves_its_place_after_the_lease(
    ledger: RedisLedger, clock: Clock
) -> None:
    await ledger.open(hold(concurrency=1))
    clock.now_s += LEASE_S - 1
    assert await refused(ledger, hold(concurrency=1)) == "concurrency"
    clock.now_s += 1
    assert await refused(ledger, hold(concurrency=1)) is None


async def test_slots_of_the_past_leave_redis(
    ledger: RedisLedger, redis: SharedRedis, clock: Clock
) -> None:
    for _ in range(40):
        clock.now_s += 5
        await ledger.open(hold(Use(1), requests_per_minute=1000))
    assert await redis.client.hlen(redis.key("{client-acme}", "used")) <= 2 * 13 + 1


async def test_four_processes_share_one_limit(redis: SharedRedis) -> None:
    ledgers = [RedisLedger(redis) for _ in range(4)]
    holds = [hold(requests_per_minute=10) for _ in range(20)]
    verdicts = await asyncio.gather(
        *(ledgers[place % 4].open(each) for place, each in enumerate(holds))
    )
    assert sum(verdict.refused is None for verdict in verdicts) == 10


async def test_each_process_has_the_limits_while_redis_is_away(
    redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = RedisLedger(redis)
    away(redis, monkeypatch)
    verdicts = [await refused(ledger, hold(requests_per_minute=3)) for _ in range(5)]
    assert verdicts == [None] * 3 + ["requests"] * 2


async def test_a_process_knows_its_own_spending_when_redis_goes(
    ledger: RedisLedger, redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hold(budget_usd_per_day=10e-9)
    await ledger.open(first)
    await ledger.settle(first, Use(0, 10))
    away(redis, monkeypatch)
    assert await refused(ledger, hold(budget_usd_per_day=10e-9)) == "budget"


async def test_what_was_spent_in_an_outage_is_added_when_redis_is_back(
    redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepped = SteppedClock()
    redis = SharedRedis(redis.client, clock=stepped.monotonic, sleep=stepped.sleep)
    ledger = RedisLedger(redis)
    with monkeypatch.context() as outage:
        away(redis, outage)
        during = hold(budget_usd_per_day=10e-9)
        await ledger.open(during)
        await ledger.settle(during, Use(0, 10))
    await stepped.advance(3)
    assert await refused(ledger, hold(budget_usd_per_day=10e-9)) is None  # Redis is back
    assert await refused(RedisLedger(redis), hold(budget_usd_per_day=10e-9)) == "budget"


async def test_a_request_goes_on_when_redis_goes(
    ledger: RedisLedger, redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = hold(Use(5), tokens_per_minute=10)
    await ledger.open(mine)
    away(redis, monkeypatch)
    assert (await ledger.extend(mine, Use(100))).refused is None
    await ledger.settle(mine, Use(50))


def counted(redis: SharedRedis, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    execute: Callable[..., object] = redis.client.execute_command

    def noted(*args: object, **options: object) -> object:
        sent.append(str(args[0]))
        return execute(*args, **options)

    monkeypatch.setattr(redis.client, "execute_command", noted)
    return sent


def away(redis: SharedRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_args: object, **_options: object) -> None:
        raise NotThereError

    monkeypatch.setattr(redis.client, "execute_command", fails)
