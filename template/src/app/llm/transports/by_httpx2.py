"""httpx2's own connections: `HTTP_TRANSPORT=httpx2`."""

import asyncio
import ssl
from collections.abc import Iterable

import httpcore2
import httpx2 as httpx

from app.llm.transports.pool import PoolPolicy
from app.llm.transports.resolver import resolve

SocketOption = (
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
)


class HTTPX2Transport(httpx.AsyncBaseTransport):
    """A pool of httpx2's client, which reads the environment's proxies by itself."""

    def __init__(self, policy: PoolPolicy, certificates: ssl.SSLContext) -> None:
        self._timeout = httpx.Timeout(
            None, connect=policy.connect_timeout_s, pool=policy.pool_timeout_s
        )
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(
                max_connections=policy.size,
                max_keepalive_connections=policy.size,
                keepalive_expiry=policy.keep_idle_s,
            ),
            verify=certificates,
            follow_redirects=False,
            trust_env=True,
        )
        _resolve_first(self._client)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "timeout": self._timeout.as_dict()}
        return await self._client.send(request, stream=True)

    async def aclose(self) -> None:
        await self._client.aclose()


def _resolve_first(client: httpx.AsyncClient) -> None:
    """Put `_Resolving` into the pools of the client: httpx2 has no parameter for it."""
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if isinstance(transport, httpx.AsyncHTTPTransport):
            pool = transport._pool  # noqa: SLF001
            pool._network_backend = _Resolving(pool._network_backend)  # noqa: SLF001


class _Resolving(httpcore2.AsyncNetworkBackend):
    """Resolves each name in a thread of its own before it connects.

    Connecting resolves it again in one of the few threads of the event loop, which Redis and other
    providers use too. A name that hangs does not get there.
    """

    def __init__(self, backend: httpcore2.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class's name
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                await resolve(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout from error
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        return await self._backend.connect_tcp(host, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class's name
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        return await self._backend.connect_unix_socket(path, timeout, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)
