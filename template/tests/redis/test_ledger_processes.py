"""Four processes and a real Redis: a client's limits hold for all of them together."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.redis.conftest import SERVER
from tests.redis.ledger_process import USED

SCRIPT = Path(__file__).with_name("ledger_process.py")
TESTS = str(Path(__file__).parents[2])
PROCESSES = 4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        SERVER is None and "REDIS_TEST_URL" not in os.environ,
        reason="neither REDIS_TEST_URL nor a redis-server",
    ),
]


async def admitted(url: str, name: str, **limits: float) -> int:
    """The requests that all processes together were admitted."""
    order = {"url": url, "name": name, "of": PROCESSES, "seconds": 2, "limits": limits}
    outputs = []
    for _ in range(PROCESSES):
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SCRIPT),
            json.dumps(order),
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": TESTS},
        )
        outputs.append(process.communicate())
    return sum(int(out) for out, _ in await asyncio.gather(*outputs))


async def test_requests_never_exceed_the_limit(url: str, name: str) -> None:
    assert await admitted(url, name, requests_per_minute=100) == 100


async def test_tokens_exceed_the_limit_by_the_requests_in_flight_at_most(
    url: str, name: str
) -> None:
    limit = 5_000
    used = await admitted(url, name, tokens_per_minute=limit) * USED.tokens
    assert limit <= used <= limit + PROCESSES * USED.tokens


async def test_dollars_exceed_the_budget_by_the_requests_in_flight_at_most(
    url: str, name: str
) -> None:
    budget_nanousd = 5_000
    used = await admitted(url, name, budget_usd_per_day=budget_nanousd / 1e9) * USED.nanousd
    assert budget_nanousd <= used <= budget_nanousd + PROCESSES * USED.nanousd
