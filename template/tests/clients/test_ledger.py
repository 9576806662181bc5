"""The same promises of both ledgers: of one process, and shared through Redis."""

import pytest

from app.clients.ledger import DAY_S, Ledger, LocalLedger, Use
from app.redis.client import SharedRedis
from app.redis.ledger import RedisLedger
from tests.clients.ledgers import FREE, NOON_S, Clock, hold, refused


@pytest.fixture(params=["local", "redis"])
def ledger(request: pytest.FixtureRequest, clock: Clock, redis: SharedRedis) -> Ledger:
    return LocalLedger(clock=clock) if request.param == "local" else RedisLedger(redis)


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
