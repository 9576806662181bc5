"""The same promises of both ledgers: of one process, and shared through Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable

import fakeredis
import pytest
from redis.exceptions import ConnectionError as NotThereError

from app.clients.ledger import DAY_S, Hold, Ledger, LocalLedger, Use
from app.clients.policy import ClientLimits
from app.redis.client import SharedRedis
from app.redis.ledger import LEASE_S, RedisLedger
from tests.redis.stepped_clock import SteppedClock

NOON_S = 20_000 * DAY_S + 12 * 3600.0
FREE = Use()


class Clock:
    """The wall clock of this process and of the fake Redis."""

    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    return clock


@pytest.fixture
async def redis(clock: Clock) -> AsyncIterator[SharedRedis]:  # noqa: ARG001 - Redis has its time
    async with fakeredis.FakeAsyncRedis() as client:
        yield SharedRedis(client)


@pytest.fixture(params=["local", "redis"])
def ledger(request: pytest.FixtureRequest, clock: Clock, redis: SharedRedis) -> Ledger:
    return LocalLedger(clock=clock) if request.param == "local" else RedisLedger(redis)


def hold(use: Use = FREE, client: str = "acme", **limits: float) -> Hold:
    return Hold(client, ClientLimits(**limits), use)  # type: ignore[arg-type]


async def refused(ledger: Ledger, opened: Hold) -> str | None:
    return (await ledger.open(opened)).refused


async def test_requests_up_to_the_limit_are_admitted(ledger: Ledger) -> None:
    verdicts = [await ledger.open(hold(requests_per_minute=3)) for _ in range(5)]
    assert [each.refused for each in verdicts] == [None] * 3 + ["requests"] * 2
    assert [each.requests_left for each in verdicts] == [2, 1, 0, 0, 0]


async def test_another_client_has_a_ledger_of_its_own(ledger: Ledger) -> None:
    assert await refused(ledger, hold(requests_per_minute=1)) is None
    assert await refused(ledger, hold(requests_per_minute=1)) == "requests"
    assert await refused(ledger, hold(client="globex", requests_per_minute=1)) is None


async def test_a_refused_request_is_free_after_the_time_it_is_told(
    ledger: Ledger, clock: Clock
) -> None:
    for pause_s in (7.5, 20.0, 0.0):
        await ledger.open(hold(requests_per_minute=3))
        clock.now_s += pause_s
    wait_s = (await ledger.open(hold(requests_per_minute=3))).wait_s
    assert wait_s == pytest.approx(65 - 27.5)
    clock.now_s += wait_s - 0.1
    assert await refused(ledger, hold(requests_per_minute=3)) == "requests"
    clock.now_s += 0.1
    assert await refused(ledger, hold(requests_per_minute=3)) is None


async def test_no_sixty_seconds_contain_more_than_the_limit(ledger: Ledger, clock: Clock) -> None:
    admitted: list[float] = []
    for _ in range(50):
        clock.now_s += 4.3
        if await refused(ledger, hold(requests_per_minute=5)) is None:
            admitted.append(clock.now_s)
    assert len(admitted) >= 3 * 5
    for start in admitted:
        assert sum(start <= at < start + 60 for at in admitted) <= 5


async def test_a_reservation_counts_until_it_is_settled(ledger: Ledger) -> None:
    first = hold(Use(1000), tokens_per_minute=500)
    assert await refused(ledger, first) is None
    assert await refused(ledger, hold(tokens_per_minute=500)) == "tokens"
    await ledger.settle(first, Use(499))
    assert await refused(ledger, hold(tokens_per_minute=500)) is None


async def test_a_failed_request_gives_everything_back(ledger: Ledger) -> None:
    for _ in range(5):
        opened = hold(Use(1000, 1000), tokens_per_minute=500, budget_usd_per_day=1e-6)
        assert await refused(ledger, opened) is None
        await ledger.settle(opened, FREE)


async def test_tokens_are_exceeded_by_the_last_request_at_most(ledger: Ledger) -> None:
    used = 0
    while await refused(ledger, opened := hold(Use(10), tokens_per_minute=100)) is None:
        await ledger.settle(opened, Use(40))
        used += 40
    assert used == 120


async def test_a_budget_lasts_until_midnight(ledger: Ledger, clock: Clock) -> None:
    first = hold(Use(0, 5), budget_usd_per_day=10e-9)
    await ledger.open(first)
    await ledger.settle(first, Use(0, 10))
    verdict = await ledger.open(hold(budget_usd_per_day=10e-9))
    assert (verdict.refused, verdict.wait_s) == ("budget", 12 * 3600)
    clock.now_s += 12 * 3600 - 1
    assert await refused(ledger, hold(budget_usd_per_day=10e-9)) == "budget"
    clock.now_s += 1
    assert await refused(ledger, hold(budget_usd_per_day=10e-9)) is None


async def test_a_request_over_midnight_costs_what_it_exceeds_its_reservation_by(
    ledger: Ledger, clock: Clock
) -> None:
    clock.now_s = NOON_S + 12 * 3600 - 1
    over = hold(Use(100, 100), tokens_per_minute=500, budget_usd_per_day=50e-9)
    await ledger.open(over)
    clock.now_s += 120
    await ledger.settle(over, Use(600, 149))
    assert await refused(ledger, hold(budget_usd_per_day=50e-9)) is None
    assert await refused(ledger, hold(budget_usd_per_day=49e-9)) == "budget"
    assert await refused(ledger, hold(tokens_per_minute=500)) == "tokens"


async def test_nothing_is_given_back_to_a_later_day(ledger: Ledger, clock: Clock) -> None:
    early = hold(Use(0, 100), budget_usd_per_day=1e-6)
    await ledger.open(early)
    clock.now_s += DAY_S
    spent = hold(Use(0, 100), budget_usd_per_day=1e-6)
    await ledger.open(spent)
    await ledger.settle(spent, Use(0, 100))
    await ledger.settle(early, FREE)
    assert await refused(ledger, hold(budget_usd_per_day=100e-9)) == "budget"


async def test_a_place_is_free_when_a_request_ends(ledger: Ledger) -> None:
    first, second = hold(concurrency=2), hold(concurrency=2)
    assert [await refused(ledger, each) for each in (first, second)] == [None, None]
    assert await refused(ledger, hold(concurrency=2)) == "concurrency"
    await ledger.settle(first, FREE)
    assert await refused(ledger, hold(concurrency=2)) is None


async def test_an_extension_does_not_count_against_its_own_request(ledger: Ledger) -> None:
    mine = hold(Use(100), tokens_per_minute=100)
    await ledger.open(mine)
    assert (await ledger.extend(mine, Use(400))).refused is None
    assert mine.use == Use(500)
    await ledger.settle(mine, Use(99))
    assert await refused(ledger, hold(tokens_per_minute=100)) is None


async def test_an_extension_is_refused_when_others_have_taken_the_rest(ledger: Ledger) -> None:
    mine = hold(Use(10), tokens_per_minute=100)
    await ledger.open(mine)
    await ledger.open(hold(Use(100), tokens_per_minute=100))
    assert (await ledger.extend(mine, Use(10))).refused == "tokens"
    assert mine.use == Use(10)


async def test_a_late_charge_counts(ledger: Ledger) -> None:
    mine = hold(tokens_per_minute=100)
    await ledger.open(mine)
    await ledger.settle(mine, FREE)
    await ledger.add(mine, Use(100))
    assert await refused(ledger, hold(tokens_per_minute=100)) == "tokens"


class TestInRedis:
    @pytest.fixture
    def ledger(self, redis: SharedRedis) -> RedisLedger:
        return RedisLedger(redis)

    async def test_a_reservation_is_one_round_trip(
        self, ledger: RedisLedger, redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
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
        self, ledger: RedisLedger, clock: Clock
    ) -> None:
        await ledger.open(hold(concurrency=1))
        clock.now_s += LEASE_S - 1
        assert await refused(ledger, hold(concurrency=1)) == "concurrency"
        clock.now_s += 1
        assert await refused(ledger, hold(concurrency=1)) is None

    async def test_slots_of_the_past_leave_redis(
        self, ledger: RedisLedger, redis: SharedRedis, clock: Clock
    ) -> None:
        for _ in range(40):
            clock.now_s += 5
            await ledger.open(hold(Use(1), requests_per_minute=1000))
        assert await redis.client.hlen(redis.key("{client-acme}", "used")) <= 2 * 13 + 1

    async def test_four_processes_share_one_limit(self, redis: SharedRedis) -> None:
        ledgers = [RedisLedger(redis) for _ in range(4)]
        holds = [hold(requests_per_minute=10) for _ in range(20)]
        verdicts = await asyncio.gather(
            *(ledgers[place % 4].open(each) for place, each in enumerate(holds))
        )
        assert sum(verdict.refused is None for verdict in verdicts) == 10

    async def test_each_process_has_the_limits_while_redis_is_away(
        self, redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger = RedisLedger(redis)
        away(redis, monkeypatch)
        verdicts = [await refused(ledger, hold(requests_per_minute=3)) for _ in range(5)]
        assert verdicts == [None] * 3 + ["requests"] * 2

    async def test_a_process_knows_its_own_spending_when_redis_goes(
        self, ledger: RedisLedger, redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = hold(budget_usd_per_day=10e-9)
        await ledger.open(first)
        await ledger.settle(first, Use(0, 10))
        away(redis, monkeypatch)
        assert await refused(ledger, hold(budget_usd_per_day=10e-9)) == "budget"

    async def test_what_was_spent_in_an_outage_is_added_when_redis_is_back(
        self, redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
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
        self, ledger: RedisLedger, redis: SharedRedis, monkeypatch: pytest.MonkeyPatch
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


async def test_a_request_that_is_not_counted_leaves_its_place_in_the_minute(
    ledger: Ledger,
) -> None:
    shed = hold(requests_per_minute=1)
    await ledger.open(shed)
    shed.is_counted = False
    await ledger.settle(shed, FREE)
    assert await refused(ledger, hold(requests_per_minute=1)) is None
    assert await refused(ledger, hold(requests_per_minute=1)) == "requests"


async def test_a_request_of_an_earlier_minute_is_not_given_back(
    ledger: Ledger, clock: Clock
) -> None:
    shed = hold(requests_per_minute=1)
    await ledger.open(shed)
    shed.is_counted = False
    clock.now_s += 70
    await ledger.settle(shed, FREE)
    assert await refused(ledger, hold(requests_per_minute=1)) is None
    assert await refused(ledger, hold(requests_per_minute=1)) == "requests"
