"""Replicas behind nginx share one limit through one Redis, under an open load.

Two rolling replacements, each of all replicas, and a restart of Redis; then more questions than the limit allows,
and another restart of Redis meanwhile.

Each of six providers has the limit for itself. While questions go to all of them in turn, none is near its
limit; above the limit, the same number of questions goes to one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import sub

from scripts.chaos.client import Client
from scripts.chaos.engine import Container, Engine, docker
from scripts.chaos.rolling import Replica, balanced, none_failed, replace
from scripts.chaos.row import Row
from scripts.chaos.steady import Load, Tally, steady

# While Redis is away, a process takes its share of each limit: with so many, it has enough for all questions.
_PROVIDERS = ("one", "two", "three", "four", "five", "six")
_OF_EACH = {"API": "openai", "BASE_URL": "http://mock-api:9000/v1", "API_KEY": "any", "MODEL": "a"}
_SETTINGS = {
    "LLM_PROVIDERS": ",".join(_PROVIDERS),
    **{
        f"PROVIDERS__{name.upper()}__{field}": value
        for name in _PROVIDERS
        for field, value in _OF_EACH.items()
    },
    "SHUTDOWN_DELAY_S": "1",
    "SHUTDOWN_GRACE_S": "20",
    "REDIS_URL": "redis://redis:6379/0",
    "RATE_LIMIT_MAX_WAIT_S": "1",
}
_WARM_UP_AT_ONCE = 64
# The machine reaches the rate if at least so much of it is asked: the first questions come late.
_REACHED = 0.95
# Of the rate that was reached: to start a replica costs the machine, too.
_SLOWER = 0.7
# The limit of one provider: half as much as is asked of it above the limit, and three times as much as below.
_LIMIT = 0.5
# A Redis that forgets its data lets one burst more through.
_FORGETS = 1


@dataclass(frozen=True)
class _Scene:
    engine: Engine
    redis: Container
    balancer: Client
    running: list[Replica]
    per_s: float

    @property
    def per_minute(self) -> int:
        return round(60 * _LIMIT * self.per_s)

    @property
    def burst(self) -> int:
        return max(1, round(self.per_s / 4))

    @property
    def settings(self) -> Mapping[str, str]:
        limit = {
            "RATE_LIMIT_REQUESTS_PER_MINUTE": str(self.per_minute),
            "RATE_LIMIT_BURST": str(self.burst),
        }
        return {**_SETTINGS, **limit}

    async def during(self, event: Callable[[], Awaitable[None]], providers: Sequence[str]) -> Tally:
        """Two seconds of questions may be on their way: they wait up to one for the limit."""
        load = Load(self.per_s, max(1, round(2 * self.per_s)), providers)
        async with steady(self.balancer, load) as tally:
            await event()
        return tally

    async def above(
        self, event: str, happens: Callable[[], Awaitable[None]], more_bursts: int = 0
    ) -> Row:
        """Each outage of Redis adds one burst at most (docs/deploy.md): a busy machine has some of its own."""
        before = await self._outages()
        tally = await self.during(happens, _PROVIDERS[:1])
        outages = max(map(sub, await self._outages(), before))
        bursts = (1 + outages + more_bursts) * self.burst
        return limited(event, tally, limit_per_s=self.per_minute / 60, bursts=bursts)

    async def _outages(self) -> list[int]:
        """How many outages each replica has logged so far."""
        logs = [await replica.service.log() for replica in self.running]
        return [sum('"redis.unavailable"' in line for line in log) for log in logs]

    async def replace_all(self) -> None:
        for number in range(len(self.running)):
            await replace(self.engine, self.running, number, self.settings)

    async def restart_redis(self) -> None:
        half_s = self.engine.sizes.phase_s / 2
        await asyncio.sleep(half_s)
        await docker("restart", "--timeout=2", self.redis.id)
        await asyncio.sleep(half_s)

    async def wait(self) -> None:
        await asyncio.sleep(self.engine.sizes.phase_s)


async def replicas(engine: Engine) -> AsyncIterator[Row]:
    """The replicas start without the limit, and the first replacement brings it: it depends on the machine."""
    redis, count = await engine.redis(), engine.sizes.replicas
    async with balanced(engine, count, _SETTINGS) as (balancer, running):
        warm_up = await _warm_up(engine, balancer)
        per_s = rate_for(warm_up, engine.sizes.per_s)
        yield reached(warm_up, engine.sizes.per_s, per_s)
        scene = _Scene(engine, redis, balancer, running, per_s)
        of_all = f"replacement of all {count}"
        below = partial(scene.during, providers=_PROVIDERS)
        yield none_failed(await below(scene.replace_all), f"1st {of_all}")
        yield none_failed(await below(scene.restart_redis), "restart of Redis")
        yield none_failed(await below(scene.replace_all), f"2nd {of_all}")
        yield await scene.above("no event", scene.wait)
        yield await scene.above("restart of Redis", scene.restart_redis, _FORGETS)


async def _warm_up(engine: Engine, balancer: Client) -> Tally:
    async with steady(balancer, Load(engine.sizes.per_s, _WARM_UP_AT_ONCE, _PROVIDERS)) as tally:
        await asyncio.sleep(engine.sizes.phase_s)
    return tally


def rate_for(warm_up: Tally, wanted: float) -> float:
    """The wanted rate, or one at which this machine can replace replicas as well."""
    is_reached = warm_up.per_s >= _REACHED * wanted
    return wanted if is_reached else max(1.0, _SLOWER * warm_up.per_s)


def reached(warm_up: Tally, wanted: float, per_s: float) -> Row:
    slower = "" if per_s == wanted else f": this machine is too slow or busy, {per_s:.0f} below"
    return Row(
        f"no event, {wanted:.0f} a second for {warm_up.asked_s:.0f} s",
        "the rate is reached, 0 failed",
        f"{warm_up.per_s:.0f} a second{slower}, {warm_up.failed.total()} failed",
        False if warm_up.failed else None if slower else True,
    )


def limited(event: str, tally: Tally, *, limit_per_s: float, bursts: int) -> Row:
    """With fewer questions than the limit allows, it could not have been exceeded."""
    allowed = bursts + limit_per_s * tally.lasted_s
    is_kept = tally.answered <= allowed and not tally.failed
    return Row(
        f"{event}, {tally.per_s:.0f} a second to one of {limit_per_s:.0f}",
        f"0 failed, <= {allowed:,.0f} answered",
        str(tally),
        None if is_kept and tally.asked <= allowed else is_kept,
    )
