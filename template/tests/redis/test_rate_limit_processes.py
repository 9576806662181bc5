"""Real processes, a real Redis, and clocks that disagree by ten seconds.

Against the Redis of `REDIS_TEST_URL`, or one that is started for it when there is a `redis-server`.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.redis.client import open_redis
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import RateLimitPolicy
from app.testing import captured_logs
from tests.redis.conftest import SERVER
from tests.resilience.arrivals import overdraft

SCRIPT = Path(__file__).with_name("limiter_process.py")
SKEWS_S = (-5, 5, -1, 0)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SERVER is None and "REDIS_TEST_URL" not in os.environ,
        reason="neither REDIS_TEST_URL nor a redis-server",
    ),
]


async def arrivals(
    url: str, name: str, policy: Mapping[str, float], *, seconds: float
) -> list[list[float]]:
    """The times of calls of each process."""
    outputs = []
    common = {"url": url, "name": name, "of": len(SKEWS_S), "seconds": seconds, "policy": policy}
    for skew_s in SKEWS_S:
        order = {**common, "skew_s": skew_s}
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), json.dumps(order), stdout=subprocess.PIPE
        )
        outputs.append(process.communicate())
    # A line that is no number would be the log's: that Redis was not asked.
    return [[float(line) for line in out.split()] for out, _ in await asyncio.gather(*outputs)]


async def test_four_processes_with_wrong_clocks_share_one_bucket(url: str, name: str) -> None:
    policy = {"requests_per_minute": 600, "burst": 20}
    each = await arrivals(url, name, policy, seconds=6)
    times = sorted(time for one in each for time in one)
    allowed = 20 + 10 * (times[-1] - times[0])
    # A call is made some milliseconds after its slot, and how many differs.
    assert overdraft(times, burst=20, per_minute=600) <= 0.5
    assert len(times) >= 0.95 * allowed
    # A process that starts a moment later finds the burst used up, and still gets its share.
    assert min(len(one) for one in each) >= 0.25 * len(times) / len(each)


async def test_four_processes_with_wrong_clocks_share_one_strict_limit(url: str, name: str) -> None:
    policy = {"requests_per_minute": 40, "strict": True, "max_wait_s": 600}
    each = await arrivals(url, name, policy, seconds=3)
    assert sum(map(len, each)) == 40


async def test_more_calls_than_connections_wait_for_one(url: str, name: str) -> None:
    policy = RateLimitPolicy(requests_per_minute=6000)
    async with open_redis(url, max_connections=5) as redis:
        limiter = RedisLimiter(name, policy, redis)
        with captured_logs() as logs:
            assert set(await asyncio.gather(*(limiter.acquire() for _ in range(60)))) == {0}
            for _ in range(20):
                calls = [asyncio.create_task(limiter.acquire()) for _ in range(20)]
                await asyncio.sleep(0)
                for call in calls:
                    call.cancel()
                await asyncio.gather(*calls, return_exceptions=True)
            assert set(await asyncio.gather(*(limiter.acquire() for _ in range(60)))) == {0}
    assert logs.events("redis.unavailable") == []
