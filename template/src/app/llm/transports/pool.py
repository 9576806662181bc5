"""The connections to one provider: their limits, and the library that makes them (`HTTP_TRANSPORT`)."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import httpx2 as httpx


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """The size of a pool, and how long a call waits for a connection of it and for a new one."""

    size: int
    connect_timeout_s: float
    pool_timeout_s: float
    keep_idle_s: float = 60.0


TransportName = Literal["aiohttp", "httpx2"]
OpenPool = Callable[[PoolPolicy, ssl.SSLContext], httpx.AsyncBaseTransport]


def transport_class(name: TransportName) -> OpenPool:
    """Import only the chosen library: aiohttp takes 0.1 s, which the command line does not need."""
    if name == "aiohttp":
        from app.llm.transports.by_aiohttp import AiohttpTransport  # noqa: PLC0415

        return AiohttpTransport
    from app.llm.transports.by_httpx2 import HTTPX2Transport  # noqa: PLC0415

    return HTTPX2Transport
