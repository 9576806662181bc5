"""One of several processes that share a limit: it calls as often as allowed and prints the times.

`python limiter_process.py '{"url": …, "name": …, "of": 4, "skew_s": …, "seconds": …, "policy": {…}}'`.
It begins when all `of` them are there. The printed times are of the monotonic clock, which all
processes of a machine share. The wall clock of this process is wrong by `skew_s`, as on machines
without time synchronisation.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from app.redis.client import open_redis
from app.redis.rate_limit import RedisLimiter
from app.resilience.rate_limit import RateLimitPolicy

CALLERS = 8


def skewed(skew_s: float, right: Callable[[], float] = time.time) -> Callable[[], float]:
    return lambda: right() + skew_s


async def all_are_there(client: Redis, key: str, of: int) -> None:
    """Wait for the others: a machine that starts processes is too busy to be measured on."""
    await client.incr(key)
    await client.expire(key, 60)
    while int(await client.get(key) or 0) < of:  # noqa: ASYNC110 - they are other processes
        await asyncio.sleep(0.05)


async def main(
    *, url: str, name: str, of: int, skew_s: float, seconds: float, policy: dict[str, Any]
) -> None:
    time.time = skewed(skew_s)
    made: list[float] = []
    async with open_redis(url) as redis:
        await all_are_there(redis.client, f"{name}:there", of)
        limiter = RedisLimiter(name, RateLimitPolicy(**policy), redis)

        async def call_again_and_again() -> None:
            while True:
                await limiter.acquire()
                made.append(time.monotonic())

        calls = [asyncio.create_task(call_again_and_again()) for _ in range(CALLERS)]
        await asyncio.wait(calls, timeout=seconds)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
    sys.stdout.write("\n".join(map(str, made)))


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
