"""The library that makes the connections to the providers: the setting `HTTP_TRANSPORT`."""

import ssl
from collections.abc import Callable
from typing import Literal

import httpx2 as httpx

from app.llm.transports.policy import PoolPolicy

TransportName = Literal["aiohttp", "httpx2"]
OpenPool = Callable[[PoolPolicy, ssl.SSLContext], httpx.AsyncBaseTransport]


def transport_class(name: TransportName) -> OpenPool:
    """Import only the chosen library: aiohttp takes 0.1 s, which the command line does not need."""
    if name == "aiohttp":
        from app.llm.transports.by_aiohttp import AiohttpTransport  # noqa: PLC0415

        return AiohttpTransport
    from app.llm.transports.by_httpx2 import HTTPX2Transport  # noqa: PLC0415

    return HTTPX2Transport
