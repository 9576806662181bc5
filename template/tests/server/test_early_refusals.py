"""Connections on which a request is refused before its body is read, at a real socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from app.llm.pools import Gate
from app.resilience.bulkhead import Bulkhead, QueuePolicy
from app.resilience.health import Health
from app.testing import FakeChatModel
from tests.running_service import service_with, serving
from tests.server.sockets import PATIENCE_S, Client, connected

HEAD = b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"messages": [{"role": "user", "content": "Hi"}]}'
PROBE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def with_length(number: int) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % number


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """A client of a service with one provider, which has neither a place nor a queue."""
    bulkhead = Bulkhead(1, QueuePolicy(length=0))
    await bulkhead.take()
    app = service_with(
        FakeChatModel(),
        gates={"fake": Gate("fake", bulkhead)},
        health={"fake": Health(lambda: "closed")},
        enable_caching=False,
    )
    async with AsyncExitStack() as stack:
        _, url = await stack.enter_async_context(serving(app))
        yield await stack.enter_async_context(connected(url))


async def assert_answers_a_probe(client: Client) -> None:
    await client.send(PROBE)
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b'{"status":"ok"}')


async def assert_is_refused(client: Client) -> None:
    answer = await client.answer()
    assert answer.status == 503
    assert answer.is_problem()
    assert "retry-after" in answer.headers


async def test_a_refusal_comes_before_the_body(client: Client) -> None:
    await client.send(with_length(100_000))
    await assert_is_refused(client)


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["short", "long"])
async def test_a_body_that_follows_its_refusal_is_dropped_and_the_connection_goes_on(
    client: Client, size: int
) -> None:
    await client.send(with_length(size))
    await assert_is_refused(client)
    await client.send(b"x" * size)
    await assert_answers_a_probe(client)


async def test_a_body_that_arrives_with_its_head_is_dropped(client: Client) -> None:
    await client.send(with_length(len(BODY)) + BODY)
    await assert_is_refused(client)
    await assert_answers_a_probe(client)


async def test_a_chunked_body_is_dropped_to_its_end(client: Client) -> None:
    await client.send(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    await assert_is_refused(client)
    await client.send(b"5\r\nGET /\r\n" * 3 + b"0\r\nX-Trailer: x\r\n\r\n")
    await assert_answers_a_probe(client)


async def test_pipelined_requests_are_refused_one_by_one(client: Client) -> None:
    await client.send((with_length(len(BODY)) + BODY) * 3 + PROBE)
    for _ in range(3):
        await assert_is_refused(client)
    assert (await client.answer()).status == 200


async def test_a_client_that_waits_for_leave_to_send_its_body_gets_the_refusal_and_the_end(
    client: Client,
) -> None:
    await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        await assert_is_refused(client)  # its first line is that of the refusal: there was no 100
        assert await client.reader.read() == b""


async def test_a_body_that_is_sent_without_leave_does_not_lose_the_refusal(client: Client) -> None:
    await client.send(HEAD + b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(4):
        await asyncio.sleep(0.05)
        await client.send(b"x" * 100_000)  # fails if the server has closed
    await assert_is_refused(client)


async def test_a_whole_request_that_expected_leave_keeps_its_connection(client: Client) -> None:
    head = HEAD + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    await client.send(head + BODY)
    await assert_is_refused(client)
    await assert_answers_a_probe(client)
