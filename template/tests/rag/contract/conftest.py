"""The stores that have to keep the contract of `app.rag.searchable`."""

import os
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_hex

import fakeredis
import pytest

from app.rag.shared import indexing
from app.redis.address import parsed
from app.redis.topology import open_client
from tests.rag.contract.postgres import postgres_url
from tests.rag.contract.processes import MemoryStore, PostgresStore, RedisStore, SharedStore, Store

REDIS = os.environ.get("REDIS_TEST_URL")


@pytest.fixture(autouse=True)
def _patient_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no outage."""
    monkeypatch.setattr("app.redis.client.TIMEOUT_S", 10.0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    for file, text in {"a": "cat", "b": "cat dog", "c": "dog"}.items():
        (docs / f"{file}.md").write_text(text)
    return docs


def _memory(tmp_path: Path) -> Store:
    (tmp_path / "index").mkdir()
    return MemoryStore(tmp_path / "index")


def _fake_redis(_: Path) -> Store:
    server = fakeredis.FakeServer()
    return RedisStore(lambda: fakeredis.FakeAsyncRedis(server=server))


def _real_redis(_: Path) -> Store:
    address = parsed(str(REDIS))
    return RedisStore(
        lambda: open_client(address, max_connections=50, timeout_s=10.0), prefix=token_hex(8)
    )


def _postgres(_: Path) -> Store:
    return PostgresStore(postgres_url(), prefix=token_hex(8))


@pytest.fixture(
    params=[
        pytest.param(_memory, id="memory"),
        pytest.param(_fake_redis, id="redis"),
        pytest.param(
            _real_redis,
            id="a real redis",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(REDIS is None, reason="needs the Redis 8 of REDIS_TEST_URL"),
            ],
        ),
        pytest.param(_postgres, id="postgres", marks=[pytest.mark.slow, pytest.mark.timeout(120)]),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    opened: Store = request.param(tmp_path)
    return opened


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def replicas(server: fakeredis.FakeServer, monkeypatch: pytest.MonkeyPatch) -> RedisStore:
    monkeypatch.setattr(indexing, "_POLL_S", 0.01)
    return RedisStore(lambda: fakeredis.FakeAsyncRedis(server=server))


@pytest.fixture(
    params=[
        pytest.param(_fake_redis, id="redis"),
        pytest.param(_postgres, id="postgres", marks=[pytest.mark.slow, pytest.mark.timeout(120)]),
    ]
)
def shared(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> SharedStore:
    """A store that several processes share."""
    monkeypatch.setattr(indexing, "_POLL_S", 0.01)
    opened: SharedStore = request.param(tmp_path)
    return opened


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> PostgresStore:
    monkeypatch.setattr(indexing, "_POLL_S", 0.01)
    return PostgresStore(postgres_url(), prefix=token_hex(8))


@pytest.fixture
async def client(server: fakeredis.FakeServer) -> AsyncIterator[fakeredis.FakeAsyncRedis]:
    async with fakeredis.FakeAsyncRedis(server=server) as client:
        yield client
