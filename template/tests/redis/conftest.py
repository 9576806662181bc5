"""A real Redis: that of `REDIS_TEST_URL`, or one that is started for a test."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from secrets import token_hex

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as NotThereYetError

SERVER = shutil.which("redis-server")


@pytest.fixture
async def url(unused_tcp_port: int) -> AsyncIterator[str]:
    if given := os.environ.get("REDIS_TEST_URL"):
        yield given
        return
    server = await asyncio.create_subprocess_exec(
        str(SERVER), "--port", str(unused_tcp_port), "--save", "", stdout=subprocess.DEVNULL
    )
    url = f"redis://127.0.0.1:{unused_tcp_port}/0"
    await _answers(url)
    yield url
    server.terminate()
    await server.wait()


async def _answers(url: str) -> None:
    async with Redis.from_url(url) as client:
        for _ in range(100):
            try:
                await client.ping()
            except NotThereYetError:
                await asyncio.sleep(0.05)
            else:
                return
    raise AssertionError("the redis-server that was started does not answer")


@pytest.fixture
def name() -> str:
    """A name that no other user of that Redis has."""
    return token_hex(8)
