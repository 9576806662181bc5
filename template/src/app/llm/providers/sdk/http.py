"""How a vendor's client shares our pool, our limits and our errors.

Both SDKs take an `httpx2.AsyncClient`. The one they get has this class for a transport: what the
SDK asks goes through the pool that all providers share, and what fails in there is an `LLMError`
already, so the SDK's own exceptions need no table of theirs. Retries are ours, not the SDK's.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import TypeVar

import httpx2 as httpx
from pydantic import BaseModel

from app.errors import ConnectionFailed, LLMError, MalformedAnswer, RequestRefused
from app.llm.http import Connections, ErrorReader, ProviderHTTP
from app.llm.providers.streamed import drain
from app.streaming.sse import ServerSentEvent
from app.telemetry.correlation import request_id, traceparent

T = TypeVar("T")

_EVENT_STREAM = "text/event-stream"

# Not what the SDKs send with a request for a stream. A compressor would hold events back.
STREAM_HEADERS = {"Accept": _EVENT_STREAM, "Accept-Encoding": "identity"}

# What is no longer true of a body that was decompressed on the way.
_OUTDATED = {"content-encoding", "content-length", "transfer-encoding"}


class SDKHTTP(ProviderHTTP, httpx.AsyncBaseTransport):
    """Calls to one provider, in the words of its SDK, whose exceptions all are `sdk_error`s.

    `is_last` knows the event that ends a stream: without it a stream is broken, however politely
    it was closed, and the SDKs do not look.
    """

    def __init__(
        self,
        connections: Connections,
        provider: str,
        read_error: ErrorReader,
        *,
        sdk_error: type[Exception],
        is_last: Callable[[ServerSentEvent], bool],
    ) -> None:
        super().__init__(
            connections.client,
            connections.policy,
            provider=provider,
            base_url="",  # the SDK knows where, and with which headers
            headers={},
            read_error=read_error,
        )
        self._sdk_error = sdk_error
        self._is_last = is_last

    def client(self) -> httpx.AsyncClient:
        """What the SDK takes as its `http_client`. It owns nothing, so nobody has to close it."""
        return httpx.AsyncClient(transport=self, timeout=self._client.timeout)

    async def within_deadline(self, call: Awaitable[T]) -> T:
        """An SDK's timeout is one for each read, which is no limit at all."""
        with self._as_llm_errors():
            async with asyncio.timeout(self._policy.request_timeout_s):
                return await call

    async def paced(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        with suppress(_EndedEarly):
            async with aclosing(super().paced(items)) as paced:
                async for item in paced:
                    yield item

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        correlation = request_id.get()
        if correlation is not None:
            request.headers["X-Request-ID"] = correlation
        if (parent := traceparent.get()) is not None:
            request.headers["traceparent"] = parent
        with self._as_llm_errors():
            response = await self._client.send(request, stream=True)
            await self._refuse_failure(response)
        is_stream = request.headers["Accept"] == _EVENT_STREAM
        chunks = self._whole_stream(response) if is_stream else self._decompressed(response)
        headers = [(k, v) for k, v in response.headers.multi_items() if k not in _OUTDATED]
        return httpx.Response(response.status_code, headers=headers, stream=_Body(response, chunks))

    async def _decompressed(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        with self._as_llm_errors():
            yield await self._whole_body(response)

    async def _whole_stream(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """Events that have passed our decoder, and with it our limits. The SDK decodes them anew."""
        with self._as_llm_errors():
            async with aclosing(self._checked_events(response)) as events:
                async for event in events:
                    yield _frame(event)
                    if self._is_last(event):
                        with suppress(LLMError), self._as_llm_errors():
                            await drain(events)
                        return
        raise _EndedEarly(f"{self.provider} ended its answer in the middle", provider=self.provider)

    @contextmanager
    def _as_llm_errors(self) -> Iterator[None]:
        try:
            with super()._as_llm_errors():
                yield
        except self._sdk_error as error:
            ours = error.__cause__  # one SDK lets the errors of its transport pass, one wraps them
            if isinstance(ours, LLMError):
                raise ours from ours.__cause__
            raise self._unreadable() from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise self._unreadable() from error
        except UnicodeEncodeError as error:  # half a surrogate pair in a text
            message = f"{self.provider} was not called: the request is not valid Unicode"
            raise RequestRefused(message, provider=self.provider) from error

    def _unreadable(self) -> MalformedAnswer:
        message = f"{self.provider} sent something that its SDK cannot read"
        return MalformedAnswer(message, provider=self.provider)


class _EndedEarly(ConnectionFailed):
    """Keeps an SDK from taking half an answer for a whole one. Nobody else gets to see it."""


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


def _frame(event: ServerSentEvent) -> bytes:
    data = event.data.replace("\n", "\ndata: ")
    return f"event: {event.event}\ndata: {data}\n\n".encode()


def as_event(item: object) -> ServerSentEvent:
    """What the provider sent, again: an SDK makes its objects without a look at their fields."""
    if isinstance(item, BaseModel):
        return ServerSentEvent(
            item.model_dump_json(by_alias=True, exclude_unset=True, warnings=False)
        )
    return ServerSentEvent(json.dumps(item))
