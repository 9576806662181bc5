"""Six replicas share one limit through one Redis, which restarts, while replicas are replaced under load."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from scripts.chaos.engine import Engine, docker
from scripts.chaos.rolling import asking, balanced, none_failed, replace
from scripts.chaos.row import Row

_REPLICAS = 6
_WANTED_PER_S = 200
_BURST = 50
_SETTINGS = {
    "LLM_PROVIDERS": "openai",
    "SHUTDOWN_DELAY_S": "1",
    "SHUTDOWN_GRACE_S": "20",
    "REDIS_URL": "redis://redis:6379/0",
    "RATE_LIMIT_BURST": str(_BURST),
    "RATE_LIMIT_MAX_WAIT_S": "60",
}
# The first burst; one of the outage (docs/deploy.md); and one because this Redis forgets the first.
_BURSTS = 3
_CALM_S = 5.0
_OK = 200


async def replicas(engine: Engine) -> AsyncIterator[Row]:
    """The limit is 95% of what the machine can do here, so that it holds calls back."""
    redis = await engine.redis()
    per_s = await _possible_per_s(engine)
    limit = round(60 * 0.95 * per_s)
    settings = {**_SETTINGS, "RATE_LIMIT_REQUESTS_PER_MINUTE": str(limit)}
    statuses: Counter[int] = Counter()
    clock = asyncio.get_running_loop().time
    async with balanced(engine, _REPLICAS, settings) as (balancer, running):
        started = clock()
        async with asking(balancer, statuses):
            await replace(engine, running, 0, settings)
            await docker("restart", "--timeout=2", redis.id)
            await asyncio.sleep(_CALM_S)
            await replace(engine, running, 1, settings)
            await asyncio.sleep(_CALM_S)
        lasted_s = clock() - started
    events = f"2 replacements of {_REPLICAS} replicas, a restart of Redis"
    yield none_failed(statuses, events)
    allowed = _BURSTS * _BURST + limit / 60 * lasted_s
    answered = statuses[_OK]
    yield Row(
        f"at {answered / lasted_s:.0f} a second (wanted: {_WANTED_PER_S}) for {lasted_s:.0f} s",
        f"<= {allowed:,.0f} answers, by a limit of {limit / 60:.0f} a second for all",
        f"{answered:,} answers",
        answered <= allowed,
    )


async def _possible_per_s(engine: Engine) -> float:
    """The questions per second that this machine answers without a limit: the load generator uses it too."""
    statuses: Counter[int] = Counter()
    async with (
        balanced(engine, _REPLICAS, _SETTINGS) as (balancer, _running),
        asking(balancer, statuses),
    ):
        await asyncio.sleep(2 * _CALM_S)
    return min(float(_WANTED_PER_S), statuses[_OK] / (2 * _CALM_S))
