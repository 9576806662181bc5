"""One of several processes that share the limits of a client: prints the use that it was admitted.

`python ledger_process.py '{"url": …, "name": …, "of": 4, "seconds": …, "limits": {…}}'`.
"""

import asyncio
import json
import random
import sys
from typing import Any

from app.clients.ledger import Hold, Use
from app.clients.policy import ClientLimits
from app.redis.client import open_redis
from app.redis.ledger import RedisLedger
from tests.redis.limiter_process import all_are_there

ESTIMATE, USED = Use(100, 100), Use(90, 90)


async def main(*, url: str, name: str, of: int, seconds: float, limits: dict[str, Any]) -> None:
    admitted = 0
    async with open_redis(url) as redis:
        await all_are_there(redis.client, f"{name}:there", of)
        ledger = RedisLedger(redis)
        ends_at = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < ends_at:
            hold = Hold(name, ClientLimits(**limits), ESTIMATE)
            is_refused = (await ledger.open(hold)).refused is not None
            await asyncio.sleep(random.random() / 200)  # noqa: S311 - the time of a call
            if not is_refused:
                await ledger.settle(hold, USED)
                admitted += 1
    sys.stdout.write(str(admitted))


if __name__ == "__main__":
    asyncio.run(main(**json.loads(sys.argv[1])))
