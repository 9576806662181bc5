"""A request that the service refuses for a reason of its own does not count for its client."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest

from app.errors import OverloadedError
from app.main import create_app
from app.settings import Settings
from mock_api.application import create_app as create_mock
from tests.running_service import QUESTION

CHAT = "/v1/chat"
# Two of them fit into 32 MB, because each byte counts eight times.
LARGE = {"messages": [{"role": "user", "content": "x" * 99_000} for _ in range(18)]}


each_way = pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(CHAT, {}, id="whole"),
        pytest.param(CHAT, {"stream": True}, id="streamed"),
        pytest.param("/openai/v1/chat/completions", {"model": "auto"}, id="openai"),
    ],
)


class Full(httpx2.AsyncBaseTransport):
    """The mock API behind a pool that has no free connection for the first call."""

    def __init__(self) -> None:
        self._mock = httpx2.ASGITransport(create_mock())
        self._is_full = True

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if self._is_full:
            self._is_full = False
            raise OverloadedError("full", retry_after_s=2)
        return await self._mock.handle_async_request(request)


class Gate(httpx2.AsyncBaseTransport):
    """The mock API, which answers when it may."""

    def __init__(self) -> None:
        self.may_answer = asyncio.Event()
        self.calls = 0
        self._mock = httpx2.ASGITransport(create_mock())

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.calls += 1
        await self.may_answer.wait()
        return await self._mock.handle_async_request(request)


@asynccontextmanager
async def service(
    provider: httpx2.AsyncBaseTransport, *, requests_per_minute: int, **settings: object
) -> AsyncIterator[httpx2.AsyncClient]:
    limits = {"requests_per_minute": requests_per_minute}
    app = create_app(Settings(client=limits, **settings), transport=provider)  # type: ignore[arg-type]
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://service") as client,
    ):
        yield client


@each_way
async def test_a_request_that_finds_no_connection_does_not_count(
    path: str, body: dict[str, object]
) -> None:
    async with service(Full(), requests_per_minute=2, llm_providers="openai") as http:
        answers = [await http.post(path, json={**QUESTION, **body}) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 200, 200, 429]
    assert answers[0].headers["Retry-After"] == "2"
    left = [answer.headers["RateLimit"].partition(";t")[0] for answer in answers[:3]]
    assert left == ['"requests";r=2', '"requests";r=1', '"requests";r=0']


@each_way
async def test_a_request_that_finds_the_limit_of_the_provider_reached_does_not_count(
    path: str, body: dict[str, object]
) -> None:
    def asking(text: str) -> dict[str, object]:
        return {"messages": [{"role": "user", "content": text}], **body}

    mock = httpx2.ASGITransport(create_mock())
    limit = {"requests_per_minute": 1, "max_wait_s": 0}
    async with service(
        mock, requests_per_minute=2, llm_providers="openai", rate_limit=limit
    ) as http:
        texts = ["first", "second", "third", "first", "first"]  # the first answer is cached
        answers = [await http.post(path, json=asking(text)) for text in texts]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 200, 429]
    left = [answer.headers["RateLimit"].partition(";t")[0] for answer in answers]
    assert left == [f'"requests";r={number}' for number in (1, 1, 1, 0, 0)]
    assert [b"requests a minute" in answer.content for answer in answers[1:]] == [
        False,
        False,
        False,
        True,
    ]


async def test_a_request_without_memory_for_its_body_does_not_count() -> None:
    gate = Gate()
    async with service(
        gate, requests_per_minute=3, max_bytes_in_flight=32 * 1024 * 1024, enable_caching=False
    ) as http:
        running = [asyncio.create_task(http.post(CHAT, json=LARGE)) for _ in range(2)]
        async with asyncio.timeout(20):
            while gate.calls < 2:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)
        refused = await http.post(CHAT, json=LARGE)
        gate.may_answer.set()
        await asyncio.gather(*running)
        answers = [await http.post(CHAT, json=QUESTION) for _ in range(2)]
    assert refused.status_code == 503
    assert [answer.status_code for answer in answers] == [200, 429]
