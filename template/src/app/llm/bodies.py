"""Reads the bodies of providers' answers, with limits on bytes and time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from types import AsyncGeneratorType

import httpx2 as httpx

from app.errors import MalformedAnswerError

_MAX_ERROR_BODY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """A request's body that is encoded already."""

    body: bytes
    type: str = "application/json"


async def error_body(response: httpx.Response, within_s: float) -> bytes:
    """As much of the body as arrives: the status is known even if the body stalls or breaks off."""
    body = bytearray()
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(within_s), aclosing(pieces_of(response)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_ERROR_BODY_BYTES:
                    break
    return bytes(body)


async def whole_body(response: httpx.Response, max_bytes: int, provider: str) -> bytes:
    body = bytearray()
    async with aclosing(pieces_of(response)) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > max_bytes:
                raise _too_large(max_bytes, provider)
    return bytes(body)


async def limited_body(
    response: httpx.Response, max_bytes: int, provider: str
) -> AsyncGenerator[bytes, None]:
    limit = ByteLimit(max_bytes, provider)
    async with aclosing(pieces_of(response)) as chunks:
        async for chunk in chunks:
            limit.count(chunk)
            yield chunk


async def lines_of(
    response: httpx.Response, max_bytes: int, provider: str
) -> AsyncGenerator[bytes, None]:
    """The lines that are not empty. Each may have `max_bytes`; the body has no limit."""
    rest = b""
    async with aclosing(pieces_of(response)) as chunks:
        async for chunk in chunks:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield line
            if len(rest) > max_bytes:
                message = f"{provider} sent a line of more than {max_bytes} bytes"
                raise MalformedAnswerError(message, provider=provider)
    if rest.strip():
        yield rest


def pieces_of(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The decompressed body in pieces, as they arrive.

    A body that is not compressed comes directly from the transport: httpx2's two layers of generators
    take 40 calls for a body, and 10 for each further piece.
    """
    if "content-encoding" in response.headers:
        return response.aiter_bytes()
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise TypeError("the transport answered with a body that is not asynchronous")
    pieces = aiter(response.stream)
    return pieces if isinstance(pieces, AsyncGeneratorType) else _generated(pieces)


async def _generated(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for piece in pieces:
        yield piece


class ByteLimit:
    """Counts decompressed bytes, which arrive in pieces of at most a megabyte.

    So a small body that inflates to a large one is stopped before its end.
    """

    def __init__(self, max_bytes: int, provider: str) -> None:
        self._max_bytes = max_bytes
        self._provider = provider
        self._received = 0

    def count(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._max_bytes:
            raise _too_large(self._max_bytes, self._provider)


def _too_large(max_bytes: int, provider: str) -> MalformedAnswerError:
    return MalformedAnswerError(f"{provider} sent more than {max_bytes} bytes", provider=provider)
