"""Reads the bodies of providers' answers, with limits on bytes and time."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import httpx2 as httpx

from app.errors import MalformedAnswerError

_MAX_ERROR_BODY_BYTES = 64 * 1024


async def error_body(response: httpx.Response, within_s: float) -> bytes:
    """As much of the body as arrives: the status is known even if the body stalls or breaks off."""
    body = bytearray()
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(within_s), aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_ERROR_BODY_BYTES:
                    break
    return bytes(body)


async def whole_body(response: httpx.Response, max_bytes: int, provider: str) -> bytes:
    limit = ByteLimit(max_bytes, provider)
    body = bytearray()
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            limit.count(chunk)
            body += chunk
    return bytes(body)


async def limited_body(
    response: httpx.Response, max_bytes: int, provider: str
) -> AsyncGenerator[bytes, None]:
    limit = ByteLimit(max_bytes, provider)
    async with aclosing(response.aiter_bytes()) as chunks:
        async for chunk in chunks:
            limit.count(chunk)
            yield chunk


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
            message = f"{self._provider} sent more than {self._max_bytes} bytes"
            raise MalformedAnswerError(message, provider=self._provider)
