"""With several providers, the queue decides of the one that a request goes to."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mock_api.testing import running_server
from tests.api.shedding import (
    CHAT,
    EMBEDDINGS,
    OPENAI_CHAT,
    Running,
    refused_unread,
    service,
    taken,
)
from tests.running_service import QUESTION

BOTH = {"llm_providers": "openai,anthropic"}


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with running_server() as url:
        yield url


async def test_while_one_provider_has_a_free_connection_no_request_is_shed(mock: str) -> None:
    async with service(mock, **BOTH) as running, taken(running.bulkheads[0]):
        answer = await running.ask()
    assert answer.json()["provider"] == "anthropic"


async def test_while_both_queues_are_full_the_body_is_not_read(mock: str) -> None:
    async with service(mock, **BOTH) as running, taken(*running.bulkheads):
        assert await refused_unread(running.app) == 503
        assert await refused_unread(running.app, OPENAI_CHAT) == 503


@asynccontextmanager
async def first_full_second_busy(running: Running) -> AsyncIterator[None]:
    """The queue of the second provider has a place, for requests that name it."""
    first, second = running.bulkheads
    async with taken(first), taken(second, queued=0):
        yield


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="plain"),
        pytest.param({"model": "other"}, id="a model of the first"),
        pytest.param({"messages": [{"role": "user", "content": '"provider"'}]}, id="in a text"),
    ],
)
async def test_a_request_without_a_provider_is_refused_by_the_queue_of_the_first(
    mock: str, more: dict[str, Any]
) -> None:
    async with service(mock, **BOTH) as running, first_full_second_busy(running):
        answer = await running.ask(**more)
    assert answer.status_code == 503
    assert running.value("llm_requests_total") == 0


async def test_a_request_that_names_the_second_provider_waits_in_its_queue(mock: str) -> None:
    async with service(mock, **BOTH) as running:
        async with first_full_second_busy(running):
            answer = asyncio.create_task(running.ask(provider="anthropic"))
            while not running.bulkheads[1].waiting:  # noqa: ASYNC110 - the queue has no event
                await asyncio.sleep(0.001)
        assert (await answer).json()["provider"] == "anthropic"


@pytest.mark.parametrize("path", EMBEDDINGS)
async def test_embeddings_are_refused_by_the_queue_of_the_provider_that_makes_them(
    mock: str, path: str
) -> None:
    async with service(mock, llm_providers="anthropic,openai") as running:
        openai = running.bulkheads[1]
        async with taken(openai):
            assert await refused_unread(running.app, path) == 503
            assert (await running.ask()).json()["provider"] == "anthropic"
    assert running.value("llm_shed_total", provider="openai", reason="full") == 1


async def test_embeddings_do_not_wait_for_the_queue_of_another_provider(mock: str) -> None:
    providers = "anthropic,openai"
    async with service(mock, llm_providers=providers) as running, taken(running.bulkheads[0]):
        answer = await running.http.post("/v1/embeddings", json={"texts": ["one"]})
    assert answer.status_code == 200


@pytest.mark.parametrize("size", [1, 10, 1000], ids=lambda size: f"{size} bytes")
async def test_a_body_in_pieces_goes_on_whole(mock: str, size: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        body = json.dumps({**QUESTION, "provider": "unknown"}).encode()
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async with service(mock, **BOTH) as running, first_full_second_busy(running):
        headers = {"Content-Type": "application/json"}
        answer = await running.http.post(CHAT, content=pieces(), headers=headers)
    assert answer.json()["type"] == "urn:problem:unknown-provider"
