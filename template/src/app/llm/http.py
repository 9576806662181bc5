"""HTTP to the providers: one pool of connections, and limits on everything.

Every way in which a call can fail becomes an error of `app.errors` here. Only this module, its
`failures` and the SDKs' part know the HTTP client: another transport (a faster one, a recording one)
fits behind `open_connections`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, TypeVar

import httpx2 as httpx
import orjson
from annotated_types import Ge, Gt, Le

from app.certificates import trusted
from app.errors import ConnectionFailed, MalformedAnswer, RequestRefused
from app.llm.failures import as_llm_errors
from app.llm.retry_after import retry_after_s
from app.llm.status import ErrorDetail, error_for, should_retry
from app.streaming.sse import ServerSentEvent, SSEDecoder
from app.telemetry.correlation import request_id, traceparent
from app.telemetry.observed import observed

T = TypeVar("T")
Transport = httpx.AsyncBaseTransport
ErrorReader = Callable[[bytes], ErrorDetail | None]

_OK = 200
_MAX_ERROR_BODY_BYTES = 64 * 1024
_EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True, slots=True)
class HTTPPolicy:
    """Limits of every call to a provider.

    A total deadline, because a server that sends one byte a second never trips a read timeout.
    A stream's first chunk may have a limit of its own, because a model may think before it speaks;
    `None`: the same as between two chunks.
    """

    request_timeout_s: Annotated[float, Gt(0), Le(600)] = 60.0
    stream_chunk_timeout_s: Annotated[float, Gt(0), Le(600)] = 30.0
    stream_first_chunk_timeout_s: Annotated[float, Gt(0), Le(600)] | None = None
    max_concurrency: Annotated[int, Ge(1), Le(10_000)] = 100
    max_response_bytes: int = 16 * 1024 * 1024
    # The longest answers have 128,000 tokens, and each arrives in some 350 bytes of JSON.
    max_stream_bytes: int = 128 * 1024 * 1024
    max_stream_s: float = 3600.0
    # A connection takes one round trip, or the host is not there.
    connect_timeout_s: float = 5.0
    # How long a call may queue while `max_concurrency` others run. Longer is no service.
    pool_timeout_s: float = 10.0

    @property
    def first_chunk_timeout_s(self) -> float:
        return self.stream_first_chunk_timeout_s or self.stream_chunk_timeout_s


@asynccontextmanager
async def open_connections(
    policy: HTTPPolicy, transport: Transport | None = None
) -> AsyncIterator["Connections"]:
    """Open the pool that all providers share.

    With HTTP/1.1 a connection carries one call at a time, so the size of the pool is the bound on
    concurrent calls. `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` are honoured: they are how many
    a company's network reaches the outside at all.
    """
    client = httpx.AsyncClient(
        transport=transport,
        limits=httpx.Limits(
            max_connections=policy.max_concurrency,
            max_keepalive_connections=policy.max_concurrency,
            keepalive_expiry=60.0,
        ),
        # Reading is limited by deadlines around it: a per-read timeout is no limit at all.
        timeout=httpx.Timeout(None, connect=policy.connect_timeout_s, pool=policy.pool_timeout_s),
        verify=trusted(),
        follow_redirects=False,
        trust_env=True,
    )
    async with client:
        yield Connections(client, policy)


class Connections:
    """What all providers share."""

    def __init__(self, client: httpx.AsyncClient, policy: HTTPPolicy) -> None:
        self._client = client
        self._policy = policy

    @property
    def client(self) -> httpx.AsyncClient:
        return self._client

    @property
    def policy(self) -> HTTPPolicy:
        return self._policy

    def to(
        self,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        read_error: ErrorReader,
    ) -> "ProviderHTTP":
        return ProviderHTTP(
            self._client,
            self._policy,
            provider=provider,
            base_url=base_url,
            headers=headers,
            read_error=read_error,
        )


class ProviderHTTP:
    """Calls to one provider."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        policy: HTTPPolicy,
        *,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        read_error: ErrorReader,
    ) -> None:
        self.provider = provider
        self._client = client
        self._policy = policy
        self._base_url = base_url.rstrip("/")
        self._headers = {**headers, "Content-Type": "application/json"}
        self._read_error = read_error

    async def get(self, path: str) -> bytes:
        return await self._whole("GET", path)

    @observed("provider.call")
    async def post_json(self, path: str, payload: object) -> bytes:
        """The body of the answer, unparsed: who knows its shape parses and validates in one go."""
        return await self._whole("POST", path, payload)

    async def _whole(self, method: str, path: str, payload: object = None) -> bytes:
        with self._as_llm_errors():
            async with asyncio.timeout(self._policy.request_timeout_s):
                response = await self._send(method, path, payload, accept="application/json")
                async with aclosing(response):
                    await self._refuse_failure(response)
                    return await self._whole_body(response)

    def stream_events(self, path: str, payload: object) -> AsyncGenerator[ServerSentEvent, None]:
        return self.paced(self._events(path, payload))

    @observed("provider.stream")
    async def paced(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Each item has a deadline, and connecting counts towards the first one.

        Bytes that never become an item do not keep a stream alive.
        """
        now = asyncio.get_running_loop().time
        end = now() + self._policy.max_stream_s
        deadline = now() + self._policy.first_chunk_timeout_s
        async with aclosing(items):
            while True:
                with self._as_llm_errors():
                    async with asyncio.timeout_at(deadline):
                        item = await anext(items, None)
                if item is None:
                    return
                yield item
                deadline = min(now() + self._policy.stream_chunk_timeout_s, end)

    async def _events(self, path: str, payload: object) -> AsyncGenerator[ServerSentEvent, None]:
        response = await self._send("POST", path, payload, accept=_EVENT_STREAM)
        async with aclosing(response), aclosing(self._checked_events(response)) as events:
            async for event in events:
                yield event

    async def _checked_events(
        self, response: httpx.Response
    ) -> AsyncGenerator[ServerSentEvent, None]:
        await self._refuse_failure(response)
        self._refuse_other_content(response)
        decoder = SSEDecoder()
        body = self._limited_body(response, self._policy.max_stream_bytes)
        async with aclosing(body) as chunks:
            async for chunk in chunks:
                for event in decoder.feed(chunk):
                    yield event
        if not decoder.finish():
            raise ConnectionFailed(
                f"{self.provider} hung up in the middle of an event", provider=self.provider
            )

    async def _send(
        self, method: str, path: str, payload: object, *, accept: str
    ) -> httpx.Response:
        headers = {**self._headers, "Accept": accept}
        if accept == _EVENT_STREAM:
            headers["Accept-Encoding"] = "identity"  # a compressor holds events back
        correlation = request_id.get()
        if correlation is not None:
            headers["X-Request-ID"] = correlation
        if (parent := traceparent.get()) is not None:
            headers["traceparent"] = parent
        content = None if payload is None else self._encoded(payload)
        request = self._client.build_request(
            method, self._base_url + path, content=content, headers=headers
        )
        return await self._client.send(request, stream=True)

    def _encoded(self, payload: object) -> bytes:
        try:
            return orjson.dumps(payload)
        except TypeError as error:  # half a surrogate pair in a text
            message = f"{self.provider} was not called: the request is not valid Unicode"
            raise RequestRefused(message, provider=self.provider) from error

    async def _refuse_failure(self, response: httpx.Response) -> None:
        if response.status_code == _OK:
            return
        body = bytearray()
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_ERROR_BODY_BYTES:
                    break
        raise error_for(
            response.status_code,
            provider=self.provider,
            detail=self._read_error(bytes(body)),
            retry_after_s=retry_after_s(response.headers),
            should_retry=should_retry(response.headers),
        )

    def _refuse_other_content(self, response: httpx.Response) -> None:
        content_type = response.headers.get("content-type", _EVENT_STREAM)
        if not content_type.lower().startswith(_EVENT_STREAM):
            raise MalformedAnswer(
                f"{self.provider} answered with something that is not an event stream",
                provider=self.provider,
            )

    async def _whole_body(self, response: httpx.Response) -> bytes:
        body = self._limited_body(response, self._policy.max_response_bytes)
        async with aclosing(body) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def _limited_body(
        self, response: httpx.Response, max_bytes: int
    ) -> AsyncGenerator[bytes, None]:
        """Count decompressed bytes, in pieces of at most a megabyte.

        A small body that inflates to a large one is stopped on the way.
        """
        received = 0
        async with aclosing(response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                received += len(chunk)
                if received > max_bytes:
                    raise MalformedAnswer(
                        f"{self.provider} sent more than {max_bytes} bytes", provider=self.provider
                    )
                yield chunk

    def _as_llm_errors(self) -> AbstractContextManager[None]:
        return as_llm_errors(self.provider)
