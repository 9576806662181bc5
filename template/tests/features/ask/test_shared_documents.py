"""`/v1/ask` with `DOCUMENTS_STORE=redis`: two replicas, an outage, and the packages that they import."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import fakeredis
import httpx2
import pytest

from app.main import create_app
from app.redis.client import SharedRedis
from app.settings import Settings
from app.testing import CapturedLogs
from mock_api.application import create_app as create_mock

QUESTION = {"question": "How many questions a day?", "top_k": 1}
Replica = Callable[[], AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def server() -> fakeredis.FakeServer:
    return fakeredis.FakeServer()


@pytest.fixture
def replica(
    server: fakeredis.FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Replica:
    (tmp_path / "limits.md").write_text("# Limits\nHow many questions a day? Ten a day.")

    @asynccontextmanager
    async def open_fake(_url: str, prefix: str) -> AsyncIterator[SharedRedis]:
        async with fakeredis.FakeAsyncRedis(server=server) as client:
            redis = SharedRedis(client, prefix)
            yield redis
            await redis.aclose()

    monkeypatch.setattr("app.redis.backend.open_redis", open_fake)
    monkeypatch.setattr("app.redis.client.TIMEOUT_S", 10.0)  # a busy machine is no outage
    values: dict[str, Any] = {
        "redis_url": "redis://127.0.0.1:1/0",
        "documents": {"store": "redis", "dir": tmp_path},
        "health_probe_interval_s": 0,
    }

    @asynccontextmanager
    async def opened() -> AsyncIterator[httpx2.AsyncClient]:
        app = create_app(Settings(**values), transport=httpx2.ASGITransport(create_mock()))
        async with (
            app.router.lifespan_context(app),
            httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://x") as http,
        ):
            yield http

    return opened


async def test_a_replica_answers_with_the_index_of_another(
    replica: Replica, logs: CapturedLogs
) -> None:
    async with replica() as one, replica() as two:
        answers = [(await http.post("/v1/ask", json=QUESTION)).json() for http in (one, two)]
    assert [answer["contexts"][0]["id"] for answer in answers] == ["limits.md#limits/1"] * 2
    assert [line["embedded"] for line in logs.events("retrieval.indexed")] == [1]


async def test_without_redis_questions_get_a_503_and_chats_are_answered(
    replica: Replica, server: fakeredis.FakeServer
) -> None:
    async with replica() as http:
        assert (await http.post("/v1/ask", json=QUESTION)).status_code == 200
        server.connected = False
        refused = await http.post("/v1/ask", json=QUESTION)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")
        assert "Redis" in refused.json()["detail"]
        ready = await http.get("/readyz")
        assert ready.status_code == 200
        assert {"redis", "documents"} <= set(ready.json()["degraded"])
        chat = {"messages": [{"role": "user", "content": "Hello"}]}
        assert (await http.post("/v1/chat", json=chat)).status_code == 200


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"documents": {"store": "redis"}}, "needs REDIS_URL"),
        (
            {
                "documents": {"store": "redis", "index_path": "/tmp/index"},  # noqa: S108
                "redis_url": "redis://x",
            },
            "must be empty",
        ),
    ],
    ids=["without a Redis", "with a file"],
)
def test_settings_that_contradict_each_other_are_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Settings(**values)


@pytest.mark.slow
def test_documents_in_redis_need_no_numpy() -> None:
    code = "import sys, app.main, app.rag.shared.redis.opening; print('numpy' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(  # noqa: S603 - this Python, with arguments of this file
        command, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
