"""aiohttp's connections under httpx2's interface: `HTTP_TRANSPORT=aiohttp`, the default.

httpx2 builds requests, reads responses and decompresses bodies. Only connections and the HTTP protocol
are aiohttp's, at half the CPU time per call (docs/performance.md).
"""

import ssl
from collections.abc import AsyncIterator

import aiohttp
import httpx2 as httpx
from yarl import URL

from app.llm.transports.connector import ClosedWhileIdleError, Connector
from app.llm.transports.pool import PoolPolicy
from app.llm.transports.proxies import Proxies

# Requests have these headers already, or are meant to be sent without them.
_NO_AUTOMATIC_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")

# As much as httpx2 reads at a time. It decompresses each piece in steps of 1 MiB.
_PIECE_BYTES = 64 * 1024

# The limits of an answer's head: one line, and the number of headers. Proxies send 16 KiB and 60 at most.
_MAX_LINE_BYTES = 64 * 1024
_MAX_HEADERS = 256

# aiohttp warns about a larger body that it gets as `bytes`.
_MAX_PLAIN_BODY_BYTES = 1024 * 1024

# The most specific class of an error decides.
_FAILURES: dict[type[BaseException], type[httpx.RequestError]] = {
    aiohttp.ClientError: httpx.RequestError,
    aiohttp.ClientConnectionError: httpx.NetworkError,
    aiohttp.ClientOSError: httpx.ReadError,
    aiohttp.ClientConnectorError: httpx.ConnectError,
    aiohttp.ClientProxyConnectionError: httpx.ProxyError,
    aiohttp.ClientHttpProxyError: httpx.ProxyError,
    aiohttp.ConnectionTimeoutError: httpx.ConnectTimeout,
    aiohttp.ServerDisconnectedError: httpx.RemoteProtocolError,
    aiohttp.ClientResponseError: httpx.RemoteProtocolError,  # not HTTP, or beyond the limits
    aiohttp.ClientPayloadError: httpx.RemoteProtocolError,  # a body that is cut short
    aiohttp.InvalidURL: httpx.UnsupportedProtocol,
    aiohttp.NonHttpUrlClientError: httpx.UnsupportedProtocol,
    ValueError: httpx.LocalProtocolError,  # a header with a line break
}


# Blocks catch these themselves: a context manager for each call and each body takes 14 Python calls.
_CAUGHT = (aiohttp.ClientError, ValueError)


def _failure_of_httpx2(error: Exception) -> httpx.RequestError:
    kind = next(_FAILURES[c] for c in type(error).__mro__ if c in _FAILURES)
    return kind(str(error))


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A pool of aiohttp's connections, directly or through the environment's proxies."""

    def __init__(self, policy: PoolPolicy, certificates: ssl.SSLContext) -> None:
        self._proxies = Proxies()
        self._session = aiohttp.ClientSession(
            connector=Connector(certificates, keep_idle_s=policy.keep_idle_s),
            timeout=aiohttp.ClientTimeout(total=None, connect=policy.connect_timeout_s),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NO_AUTOMATIC_HEADERS,
            read_bufsize=_PIECE_BYTES,
            max_line_size=_MAX_LINE_BYTES,
            max_field_size=_MAX_LINE_BYTES,
            max_headers=_MAX_HEADERS,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            response = await self._send(request)
        except _CAUGHT as error:
            raise _failure_of_httpx2(error) from error
        return httpx.Response(response.status, headers=response.raw_headers, stream=_Body(response))

    async def _send(self, request: httpx.Request) -> aiohttp.ClientResponse:
        """Send the request, on another connection if the server closed an idle one meanwhile.

        No byte of an answer arrived, so the server did not read the request (RFC 9112, section 9.3.1,
        "Retrying Requests"; curl does the same).
        """
        try:
            return await self._send_once(request)
        except ClosedWhileIdleError:
            return await self._send_once(request)

    async def _send_once(self, request: httpx.Request) -> aiohttp.ClientResponse:
        url = _without_credentials(request)
        body = await request.aread()
        return await self._session.request(
            request.method,
            URL(str(url), encoded=True),
            headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
            data=request.stream if len(body) > _MAX_PLAIN_BODY_BYTES else body or None,
            proxy=self._proxies.proxy_for(url),
            allow_redirects=False,
        )

    async def aclose(self) -> None:
        await self._session.close()


def _without_credentials(request: httpx.Request) -> httpx.URL:
    """The request's address. Credentials in it become its `Authorization`, as in httpx2."""
    url = request.url
    if not url.userinfo:
        return url
    next(httpx.BasicAuth(url.username, url.password).auth_flow(request))
    return url.copy_with(username=None, password=None)


class _Body(httpx.AsyncByteStream):
    """The body of an answer, as it arrives."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            content = self._response.content
            while piece := await content.read(_PIECE_BYTES):  # an iterator takes two calls for each
                yield piece
        except _CAUGHT as error:
            raise _failure_of_httpx2(error) from error

    async def aclose(self) -> None:
        """Close the connection, unless the whole body has arrived: then it is idle again."""
        self._response.close()
