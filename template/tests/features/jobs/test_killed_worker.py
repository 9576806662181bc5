"""Processes that share a real Redis: an API, its workers, and one that is killed.

Against the Redis of `REDIS_TEST_URL`, or one that is started when there is a `redis-server`.
"""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from secrets import token_hex
from typing import Any

import httpx2
import pytest

from app.llm.embedding_batches import MAX_TEXTS
from app.network import ssl_context
from mock_api.testing import running_server
from tests.server.test_workers import free_ports
from tests.test_main import PATIENCE_S, Process, running

SERVER = shutil.which("redis-server")
ITEMS = 10_000
PAGE = 200

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(10 * PATIENCE_S),
    pytest.mark.skipif(
        SERVER is None and "REDIS_TEST_URL" not in os.environ,
        reason="neither REDIS_TEST_URL nor a redis-server",
    ),
]


@pytest.fixture
def redis_url() -> Iterator[str]:
    if given := os.environ.get("REDIS_TEST_URL"):
        yield given
        return
    port = str(free_ports(1))
    command = [str(SERVER), "--port", port, "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own program
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait()


class Service:
    """An API and its workers, with a mock API that counts the texts which it was asked for."""

    def __init__(self, opened: ExitStack, redis_url: str) -> None:
        self._opened = opened
        self._mock = opened.enter_context(running_server())
        self.variables: dict[str, Any] = {
            "REDIS_URL": redis_url,
            "REDIS_PREFIX": token_hex(8),
            "OPENAI_BASE_URL": f"{self._mock}/v1",
            "LLM_PROVIDERS": "openai",
            "ENABLE_CACHING": "false",  # otherwise a repeated call costs nothing, and is not seen
            "RATE_LIMIT_REQUESTS_PER_MINUTE": "100000",
            "HEALTH_PROBE_INTERVAL_S": "0",
            "LOG_FORMAT": "json",
            "JOBS_LEASE_S": "5",
            "JOBS_BATCH_POLL_S": "1",
        }
        url = str(self._start().line("service.ready")["url"])
        client = httpx2.Client(base_url=url, verify=ssl_context(), timeout=None)
        self.http = opened.enter_context(client)

    def worker(self) -> Process:
        worker = self._start("worker")
        worker.line("jobs.worker_ready")
        return worker

    def _start(self, *arguments: str) -> Process:
        return self._opened.enter_context(running(*arguments, **self.variables))

    def texts_asked_for(self) -> Counter[str]:
        received = httpx2.get(f"{self._mock}/_mock/requests", verify=ssl_context(), timeout=None)
        calls = [each["body"] for each in received.json() if each["path"] == "/v1/embeddings"]
        return Counter(text for body in calls for text in body["input"])

    def batches_created(self) -> int:
        received = httpx2.get(f"{self._mock}/_mock/requests", verify=ssl_context(), timeout=None)
        asked = [(each["method"], each["path"]) for each in received.json()]
        return asked.count(("POST", "/v1/batches"))

    def slow_batches(self, item_ms: int) -> None:
        url = f"{self._mock}/_mock/batches"
        httpx2.put(url, json={"item_ms": item_ms}, verify=ssl_context()).raise_for_status()

    def slow_down(self, latency_ms: int) -> None:
        url = f"{self._mock}/_mock/faults"
        httpx2.put(url, json={"latency_ms": latency_ms}, verify=ssl_context()).raise_for_status()

    def job(self, address: str, **query: int) -> dict[str, Any]:
        return dict(self._answer("GET", address, params=query).json())

    def _answer(self, method: str, address: str, **options: Any) -> httpx2.Response:
        """On a busy machine a call to Redis takes more than half a second: for a while that is a 503."""
        while (answer := self.http.request(method, address, **options)).status_code == 503:
            time.sleep(1)
        return answer.raise_for_status()

    def until(self, address: str, succeeded: int, seen: list[int]) -> None:
        """Follow the progress until so many items have a result; the test's timeout is the limit."""
        while not seen or seen[-1] < succeeded:
            job = self.job(address, limit=0)
            assert job["failed"] == 0
            seen.append(job["succeeded"])
            time.sleep(0.05)

    def created(self, items: list[Any], **fields: str) -> str:
        body = {"kind": "embeddings", "items": items, **fields}
        return str(self._answer("POST", "/v1/jobs", json=body).headers["Location"])


@pytest.fixture
def service(redis_url: str) -> Iterator[Service]:
    with ExitStack() as opened:
        yield Service(opened, redis_url)


def test_a_job_of_10000_texts_survives_a_killed_worker_and_pays_for_each_text_once(
    service: Service,
) -> None:
    doomed, survivor = service.worker(), service.worker()
    texts = [f"text {number}" for number in range(ITEMS)]
    address = service.created(texts)
    seen: list[int] = []
    service.until(address, ITEMS // 2, seen)
    doomed.kill()
    service.until(address, ITEMS, seen)

    assert all(before <= after for before, after in pairwise(seen))
    assert service.job(address, limit=0)["state"] == "completed"
    asked = service.texts_asked_for()
    assert set(asked) == set(texts)
    assert asked.total() - ITEMS <= MAX_TEXTS, "more than the batch in flight was paid for twice"
    stored: list[int] = []
    after: int | None = 0
    while after is not None:
        page = service.job(address, after=after, limit=PAGE)
        stored += [each["index"] for each in page["results"]]
        after = page["next"]
    assert sorted(stored) == list(range(ITEMS))
    assert survivor.ended_by(signal.SIGTERM) == (0, b"")


def test_a_worker_that_is_asked_to_stop_finishes_its_batch_and_nothing_is_paid_for_twice(
    service: Service,
) -> None:
    service.slow_down(300)
    first = service.worker()
    texts = [f"text {number}" for number in range(4 * MAX_TEXTS)]
    address = service.created(texts)
    seen: list[int] = []
    service.until(address, MAX_TEXTS, seen)
    assert first.ended_by(signal.SIGTERM) == (0, b"")
    service.worker()
    service.until(address, len(texts), seen)
    assert service.texts_asked_for() == Counter(texts)


def test_a_batch_at_the_provider_survives_a_killed_worker_and_is_sent_once(
    service: Service,
) -> None:
    service.slow_batches(100)
    doomed = service.worker()
    chats = [{"messages": [{"role": "user", "content": f"Question {n}"}]} for n in range(40)]
    address = service.created(chats, kind="chat", mode="batch")
    while not service.batches_created():
        time.sleep(0.05)
    doomed.kill()
    assert service.job(address, limit=0)["succeeded"] == 0
    survivor = service.worker()
    service.until(address, len(chats), [])
    assert service.job(address, limit=0)["state"] == "completed"
    assert service.batches_created() == 1
    assert survivor.ended_by(signal.SIGTERM) == (0, b"")


def test_a_worker_has_probes_and_metrics_and_no_endpoints(service: Service) -> None:
    port = free_ports(1)
    variables = {**service.variables, "PORT": str(port)}
    with running("worker", **variables) as worker:
        worker.line("jobs.worker_ready")
        url = f"http://127.0.0.1:{port}"
        found = {
            path: httpx2.get(url + path, verify=ssl_context()).status_code
            for path in ("/healthz", "/readyz", "/metrics", "/v1/jobs", "/docs")
        }
    assert found == {
        "/healthz": 200,
        "/readyz": 200,
        "/metrics": 200,
        "/v1/jobs": 404,
        "/docs": 404,
    }


def test_a_worker_without_a_redis_says_what_is_missing() -> None:
    with running("worker") as worker:
        code, errors = worker.ended()
    assert code == 1
    assert b"needs REDIS_URL" in errors
