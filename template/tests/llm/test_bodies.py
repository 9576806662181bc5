"""Bodies of answers come from the transport, and through httpx2 only if they are compressed."""

import gzip
from collections.abc import AsyncIterator, Iterator
from typing import Self

import httpx2 as httpx
import pytest

from app.errors import MalformedAnswerError
from app.llm.bodies import error_body, pieces_of, whole_body
from app.llm.exchange import Exchange
from app.llm.http import HTTPPolicy, open_connections

PIECES = [b"one, ", b"two"]


class Iterated(httpx.AsyncByteStream):
    """A body with an iterator that is no generator."""

    def __init__(self) -> None:
        self._pieces = iter(PIECES)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            return next(self._pieces)
        except StopIteration:
            raise StopAsyncIteration from None


class Generated(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in PIECES:
            yield piece


class Synchronous(httpx.SyncByteStream):
    def __iter__(self) -> Iterator[bytes]:
        return iter(PIECES)


@pytest.mark.parametrize("stream", [Iterated(), Generated()], ids=["iterator", "generator"])
async def test_a_body_of_any_kind_of_iterator_is_read_whole(stream: httpx.AsyncByteStream) -> None:
    assert await whole_body(httpx.Response(200, stream=stream), 100, "openai") == b"one, two"


async def test_a_compressed_body_is_decompressed() -> None:
    headers = {"content-encoding": "gzip"}
    response = httpx.Response(200, headers=headers, content=gzip.compress(b"one, two"))
    assert await whole_body(response, 100, "openai") == b"one, two"


async def test_a_body_over_its_limit_is_refused() -> None:
    with pytest.raises(MalformedAnswerError, match="more than 7 bytes"):
        await whole_body(httpx.Response(200, stream=Generated()), 7, "openai")


def test_a_synchronous_body_is_refused() -> None:
    with pytest.raises(TypeError, match="not asynchronous"):
        pieces_of(httpx.Response(200, stream=Synchronous()))


async def test_a_request_has_the_headers_that_httpx2_would_give_it() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, content=b"{}")

    async with open_connections(HTTPPolicy(), httpx.MockTransport(answer)) as connections:
        http = connections.to("openai", "http://a.test:81/v1?q=1", {"X-Own": "own"}, lambda _: None)
        for _ in range(2):  # made for the first call, and used again for the second one
            await http.post_json("/chat", {"model": "m"}, Exchange())
        await http.get("/models")
    first, second, ping = sent
    own = first.headers.raw[1:-1]  # without `Host` and `Content-Length`
    made = httpx.Request("POST", first.url, headers=own, content=b'{"model":"m"}')
    assert first.headers.raw == second.headers.raw == made.headers.raw
    assert first.content == made.content
    assert ping.headers.raw == httpx.Request("GET", ping.url, headers=own).headers.raw


async def test_the_body_of_an_error_is_read_up_to_a_limit() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000

    body = await error_body(httpx.Response(500, content=endless()), within_s=10)
    assert len(body) < 100_000
