"""httpx2's own connections: `HTTP_TRANSPORT=httpx2`."""

import ssl

import httpx2 as httpx

from app.llm.transports.policy import PoolPolicy


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

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "timeout": self._timeout.as_dict()}
        return await self._client.send(request, stream=True)

    async def aclose(self) -> None:
        await self._client.aclose()
