"""How a vendor's client shares our pool, our limits and our errors.

Both SDKs take an `httpx2.AsyncClient`. The one they get has this class for a transport: the SDK's
requests go through the provider's own pool, and a failure in there is an `LLMError` already, so the
SDK's own exceptions need no table. Retries are ours, not the SDK's.

The SDKs build and send requests. Answers are taken raw and read where those of our own clients are:
the same bytes mean the same, and an SDK's reader would lose answers that a tolerant one keeps.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeVar, get_args

import httpx2 as httpx

from app.errors import LLMError, MalformedAnswerError, RequestRefusedError
from app.llm.bodies import limited_body, whole_body
from app.llm.exchange import FAILURES, Exchange, llm_error
from app.llm.http import Connections, ErrorReader, ProviderHTTP
from app.llm.pace import Pace
from app.llm.providers.policy import KeyHeader
from app.streaming.sse import ServerSentEvent

T = TypeVar("T")

_EVENT_STREAM = "text/event-stream"

# Not what the SDKs send with a request for a stream. A compressor would hold events back.
STREAM_HEADERS = {"Accept": _EVENT_STREAM, "Accept-Encoding": "identity"}

_KEY_HEADERS = get_args(KeyHeader)

# What is no longer true of a body that was decompressed on the way.
_OUTDATED = {"content-encoding", "content-length", "transfer-encoding"}


# The call that an SDK makes for us at the moment: its interface has no place for ours.
_exchange: ContextVar[Exchange] = ContextVar("exchange")


class _Raw(Protocol):
    """An answer of an SDK that it has not read."""

    @property
    def http_response(self) -> httpx.Response: ...


class SDKHTTP(ProviderHTTP, httpx.AsyncBaseTransport):
    """Calls to one provider by its SDK. All exceptions of the SDK are `sdk_error`s."""

    def __init__(
        self,
        connections: Connections,
        provider: str,
        key_headers: Mapping[str, str],
        read_error: ErrorReader,
        *,
        sdk_error: type[Exception],
        deadline_header: str | None = None,
    ) -> None:
        super().__init__(
            connections.pools,
            connections.policy,
            provider=provider,
            base_url="",  # the SDK knows where, and with which headers
            headers={},
            read_error=read_error,
            deadline_header=deadline_header,
        )
        self._key_headers = key_headers
        self._sdk_error = sdk_error

    @property
    def timeout(self) -> httpx.Timeout:
        return self._policy.timeout

    def client(self) -> httpx.AsyncClient:
        """The SDK's `http_client`. It owns no connections, so it need not be closed."""
        return httpx.AsyncClient(transport=self, timeout=self.timeout)

    async def within_deadline(self, call: Awaitable[T], exchange: Exchange) -> T:
        """An SDK's timeout is one for each read, which is no limit at all."""
        with self._as_llm_errors():
            async with asyncio.timeout(self._policy.request_timeout_s) as exchange.timeout:
                return await self.as_part_of(exchange, call)

    async def as_part_of(self, exchange: Exchange, call: Awaitable[T]) -> T:
        """Make one call by the SDK. Its request reports to `exchange`."""
        token = _exchange.set(exchange)
        try:
            return await call
        finally:
            _exchange.reset(token)

    async def events(
        self, call: AbstractAsyncContextManager[_Raw], exchange: Exchange
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """The events of a stream that the SDK opens and passes on unread."""
        async with AsyncExitStack() as stack:
            raw = await self.as_part_of(exchange, stack.enter_async_context(call))
            events = self._read_events(raw.http_response)
            await stack.enter_async_context(aclosing(events))
            async for event in events:
                yield event

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _exchange.get()
        is_stream = request.headers["Accept"] == _EVENT_STREAM
        self._pass_on(request.headers, is_whole=not is_stream)
        self._carry_the_key(request)
        with self._as_llm_errors():
            response = await self._send(request, exchange, probe=request.method == "GET")
        chunks = self._streamed(response) if is_stream else self._decompressed(response)
        headers = [(k, v) for k, v in response.headers.multi_items() if k not in _OUTDATED]
        return httpx.Response(response.status_code, headers=headers, stream=_Body(response, chunks))

    def _carry_the_key(self, request: httpx.Request) -> None:
        """The key goes where this server looks for it, which is not where the SDK put it."""
        for name in _KEY_HEADERS:
            request.headers.pop(name, None)
        request.headers.update(self._key_headers)

    async def _next(
        self, items: AsyncGenerator[T, None], pace: Pace, exchange: Exchange
    ) -> T | None:
        with self._as_llm_errors():
            return await super()._next(items, pace, exchange)

    async def _decompressed(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        with self._as_llm_errors():
            yield await whole_body(response, self._policy.max_response_bytes, self.provider)

    async def _streamed(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        body = limited_body(response, self._policy.max_stream_bytes, self.provider)
        with self._as_llm_errors():
            async with aclosing(body) as chunks:
                async for chunk in chunks:
                    yield chunk

    @contextmanager
    def _as_llm_errors(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as failure:
            raise llm_error(failure, self.provider) from failure
        except self._sdk_error as error:
            ours = error.__cause__  # one SDK lets the errors of its transport pass, one wraps them
            if isinstance(ours, LLMError):
                raise ours from ours.__cause__
            raise self._unreadable() from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise self._unreadable() from error
        except UnicodeEncodeError as error:  # half a surrogate pair in a text
            message = f"{self.provider} was not called: the request is not valid Unicode"
            raise RequestRefusedError(message, provider=self.provider) from error

    def _unreadable(self) -> MalformedAnswerError:
        message = f"{self.provider} sent something that its SDK cannot read"
        return MalformedAnswerError(message, provider=self.provider)


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpx.Response, chunks: AsyncGenerator[bytes, None]) -> None:
        self._response = response
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        await self._chunks.aclose()
        await self._response.aclose()
