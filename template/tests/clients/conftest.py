"""A clock that tests set, and a Redis on it."""

from collections.abc import AsyncIterator

import fakeredis
import pytest

from app.redis.client import SharedRedis
from tests.clients.ledgers import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.time", clock)
    return clock


@pytest.fixture
async def redis(clock: Clock) -> AsyncIterator[SharedRedis]:  # noqa: ARG001 - Redis has its time
    async with fakeredis.FakeAsyncRedis() as client:
        yield SharedRedis(client)
