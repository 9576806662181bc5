"""The calls to one provider over HTTP. Every way in which a call can fail is an error of `app.errors`."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from functools import cached_property, lru_cache
from typing import TypeVar

import httpx2 as httpx
import orjson

from app.errors import LLMError, RequestRefusedError
from app.llm.bodies import Content, error_body, lines_of, whole_body
from app.llm.event_response import read_events
from app.llm.exchange import FAILURES, Exchange, llm_error, provider_request_id
from app.llm.http_policy import HTTPPolicy
from app.llm.pace import Pace
from app.llm.pauses import retry_after_s
from app.llm.pools import GivenTransport, Pools
from app.llm.status import ErrorDetail, error_for, should_retry
from app.resilience.deadline import remaining_s
from app.streaming.sse import ServerSentEvent
from app.telemetry.correlation import request_id, traceparent
from app.telemetry.observed import observation

T = TypeVar("T")
Transport = httpx.AsyncBaseTransport
ErrorReader = Callable[[bytes], ErrorDetail | None]

# Some gateways answer 201 or 202. After 203 an answer is empty or a part of one.
_SUCCESS = range(200, 204)
_EVENT_STREAM = "text/event-stream"
_JSON = "application/json"
_ANY = "*/*"

# What httpx2's client adds to a request. It is not used itself: its redirects, cookies and hooks would
# take a fifth of the time of a call.
_CLIENT_HEADERS = httpx.AsyncClient(transport=httpx.AsyncBaseTransport()).headers
_ENCODINGS = _CLIENT_HEADERS["Accept-Encoding"]
_NO_BODY = httpx.ByteStream(b"")


class ProviderHTTP:
    """Calls to one provider."""

    def __init__(
        self,
        pools: Pools | GivenTransport,
        policy: HTTPPolicy,
        *,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        read_error: ErrorReader,
        deadline_header: str | None = None,
    ) -> None:
        self.provider = provider
        self._deadline_header = deadline_header
        self._pools = pools
        self._policy = policy
        # The path of a call goes between the address and its query, such as Azure's `?api-version=`.
        address, question_mark, query = base_url.partition("?")
        self._base_url = address.rstrip("/")
        self._query = question_mark + query
        self._headers = [
            ("Connection", _CLIENT_HEADERS["Connection"]),
            ("User-Agent", _CLIENT_HEADERS["User-Agent"]),
            *headers.items(),
            ("Content-Type", "application/json"),
        ]
        self._common_headers: dict[str, httpx.Headers] = {}  # by `Accept`
        self._read_error = read_error

    async def get(self, path: str) -> bytes:
        with Exchange() as exchange:
            return await self._whole("GET", path, exchange, probe=True)

    async def fetch(self, path: str) -> bytes:
        """A GET that is work, and takes a connection of the calls."""
        with Exchange() as exchange:
            return await self._whole("GET", path, exchange, probe=False)

    async def post(self, path: str, payload: object) -> bytes:
        """A POST that is no call of a model, such as the upload of a file."""
        with Exchange() as exchange:
            return await self._whole(
                "POST", path, exchange, payload, within_s=self._policy.transfer_timeout_s
            )

    async def lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """The lines of a file, with a deadline for the whole file and a limit for each line."""
        deadline = asyncio.get_running_loop().time() + self._policy.transfer_timeout_s
        async with aclosing(self._lines(path)) as lines:
            while (line := await self._next_line(lines, deadline)) is not None:
                yield line

    async def _next_line(self, lines: AsyncGenerator[bytes, None], deadline: float) -> bytes | None:
        try:
            async with asyncio.timeout_at(deadline):
                return await anext(lines, None)
        except FAILURES as failure:
            raise llm_error(failure, self.provider) from failure

    async def _lines(self, path: str) -> AsyncGenerator[bytes, None]:
        limit = self._policy.max_response_bytes
        with Exchange() as exchange:
            response = await self._send(self._request("GET", path, accept=_ANY), exchange)
            async with (
                aclosing(response),
                aclosing(lines_of(response, limit, self.provider)) as lines,
            ):
                async for line in lines:
                    yield line

    async def post_json(self, path: str, payload: object, exchange: Exchange) -> bytes:
        """The body of the answer, unparsed: the caller parses and validates it in one pass."""
        with observation("provider.call"):
            return await self._whole("POST", path, exchange, payload)

    async def _whole(
        self,
        method: str,
        path: str,
        exchange: Exchange,
        payload: object = None,
        *,
        probe: bool = False,
        within_s: float | None = None,
    ) -> bytes:
        within_s = within_s or self._policy.request_timeout_s
        try:
            async with asyncio.timeout(within_s) as exchange.timeout:
                request = self._request(method, path, payload, accept=_JSON)
                async with aclosing(await self._send(request, exchange, probe=probe)) as response:
                    return await whole_body(
                        response, self._policy.max_response_bytes, self.provider
                    )
        except FAILURES as failure:
            raise llm_error(failure, self.provider) from failure

    def stream_events(
        self, path: str, payload: object, exchange: Exchange
    ) -> AsyncGenerator[ServerSentEvent, None]:
        return self.paced(self._events(path, payload, exchange), exchange)

    async def paced(
        self, items: AsyncGenerator[T, None], exchange: Exchange
    ) -> AsyncGenerator[T, None]:
        """Each item has a deadline, and connecting counts towards the first one.

        Bytes that never become an event do not keep a stream alive, and events without text, tool
        arguments or thinking do not for longer than `stream_silence_timeout_s`.
        """
        pace = Pace(self._policy.stream, exchange.progress)

        def on_event() -> None:
            pace.event()
            exchange.move_deadline(pace.deadline)

        exchange.on_event = on_event
        with observation("provider.stream"):
            async with aclosing(items):
                while (item := await self._next(items, pace, exchange)) is not None:
                    pace.event()
                    yield item
                    pace.resumed()

    async def _next(
        self, items: AsyncGenerator[T, None], pace: Pace, exchange: Exchange
    ) -> T | None:
        try:
            async with asyncio.timeout_at(pace.deadline) as exchange.timeout:
                return await anext(items, None)
        except TimeoutError as error:
            raise pace.timed_out(self.provider) from error
        except FAILURES as failure:
            raise llm_error(failure, self.provider) from failure

    async def _events(
        self, path: str, payload: object, exchange: Exchange
    ) -> AsyncGenerator[ServerSentEvent, None]:
        request = self._request("POST", path, payload, accept=_EVENT_STREAM)
        response = await self._send(request, exchange)
        async with aclosing(response), aclosing(self._read_events(response)) as events:
            async for event in events:
                yield event

    def _read_events(self, response: httpx.Response) -> AsyncGenerator[ServerSentEvent, None]:
        return read_events(response, self._policy.max_stream_bytes, self.provider)

    @cached_property
    def _pool(self) -> Transport:
        """The pool of the calls. The first call opens it: unused providers cost nothing."""
        return self._pools.calls(self.provider)

    async def _send(
        self, request: httpx.Request, exchange: Exchange, *, probe: bool = False
    ) -> httpx.Response:
        """The answer to a request. Raises the error of its status."""
        pool = self._pools.probes(self.provider) if probe else self._pool
        response = await pool.handle_async_request(request)
        exchange.request_id = provider_request_id(response.headers.raw)
        if response.status_code not in _SUCCESS:
            raise await self._refusal(response, exchange)
        return response

    def _request(
        self, method: str, path: str, payload: object = None, *, accept: str
    ) -> httpx.Request:
        query = self._query.replace("?", "&", 1) if "?" in path else self._query
        url = _parsed(self._base_url + path + query)
        if (common := self._common_headers.get(accept)) is None:
            common = self._common_headers[accept] = self._made_headers(accept, url)
        request = httpx.Request(method, url, headers=common, stream=_NO_BODY)
        self._pass_on(request.headers, is_whole=accept != _EVENT_STREAM)
        if payload is not None:
            if isinstance(payload, Content):
                request.headers["Content-Type"] = payload.type
            content = payload.body if isinstance(payload, Content) else self.encoded(payload)
            request.headers["Content-Length"] = str(len(content))
            request.stream = httpx.ByteStream(content)
        request.read()
        return request

    def _pass_on(self, headers: httpx.Headers, *, is_whole: bool) -> None:
        """Send the ids of the request and, with a whole answer, the time that is left for it.

        A gateway counts the time of a whole stream; here only its first event has a deadline.
        """
        if (correlation := request_id.get()) is not None:
            headers["X-Request-ID"] = correlation
        if (parent := traceparent.get()) is not None:
            headers["traceparent"] = parent
        if self._deadline_header is not None and is_whole:
            left_s = min(self._policy.request_timeout_s, remaining_s())
            headers[self._deadline_header] = _time_left(self._deadline_header, left_s)

    def _made_headers(self, accept: str, url: httpx.URL) -> httpx.Headers:
        """The headers of all calls, made once. httpx2 would make them anew, in 60 Python calls."""
        # A compressor would hold events back.
        encodings = "identity" if accept == _EVENT_STREAM else _ENCODINGS
        accepted = [("Accept", accept), ("Accept-Encoding", encodings)]
        return httpx.Request("GET", url, headers=[*self._headers, *accepted]).headers  # with `Host`

    def encoded(self, payload: object) -> bytes:
        try:
            return orjson.dumps(payload)
        except TypeError as error:  # half a surrogate pair in a text
            message = f"{self.provider} was not called: the request is not valid Unicode"
            raise RequestRefusedError(message, provider=self.provider) from error

    async def _refusal(self, response: httpx.Response, exchange: Exchange) -> LLMError:
        """The error of a status. It is known now, so the call's deadline no longer decides."""
        exchange.move_deadline(None)  # `error_body` has its own
        async with aclosing(response):
            body = await error_body(response, self._policy.error_body_timeout_s)
        return error_for(
            response.status_code,
            provider=self.provider,
            detail=self._read_error(body),
            retry_after_s=retry_after_s(response.headers),
            should_retry=should_retry(response.headers),
        )


@lru_cache(maxsize=256)  # a provider has a few addresses, and parsing takes 15 µs
def _parsed(address: str) -> httpx.URL:
    return httpx.URL(address)


def _time_left(header: str, seconds: float) -> str:
    """The value of a header with a time: milliseconds if its name says so, seconds otherwise."""
    milliseconds = max(1, int(seconds * 1000))
    return str(milliseconds) if header.endswith("-ms") else f"{milliseconds / 1000:g}"
