"""HTTP to the providers: a pool of connections for each, and limits on everything.

`provider_http` has the calls. Only it, `bodies`, `event_response`, `exchange`, the transports and the SDKs'
part know the HTTP client: another transport (a recording one, a fake) fits behind `open_connections`.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager

from app.llm.guard_metrics import NO_METRICS, GuardMetrics
from app.llm.http_policy import HTTPPolicy
from app.llm.pools import Gate, GivenTransport, Pools
from app.llm.provider_http import ErrorReader, ProviderHTTP, Transport
from app.llm.transports.pool import transport_class
from app.network import ssl_context
from app.resilience.bulkhead import Bulkhead

__all__ = [
    "Connections",
    "ErrorReader",
    "HTTPPolicy",
    "ProviderHTTP",
    "Transport",
    "open_connections",
]


@asynccontextmanager
async def open_connections(
    policy: HTTPPolicy, transport: Transport | None = None, metrics: GuardMetrics = NO_METRICS
) -> AsyncIterator["Connections"]:
    """Open the pools, one for each provider. A given `transport` replaces all of them, without limits.

    `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` are honoured: in many companies' networks nothing
    else reaches the outside.
    """
    certificates = ssl_context()  # read at the start, and not during the first call
    open_transport = transport_class(policy.transport)  # imported at the start, likewise

    def open_pool(size: int) -> Transport:
        return open_transport(policy.pool(size), certificates)

    def bulkhead() -> Bulkhead:
        return Bulkhead(policy.max_concurrency, policy.queue, policy.weights)

    pools = Pools(policy.max_concurrency, open_pool, bulkhead, metrics)
    async with aclosing(pools if transport is None else GivenTransport(transport)) as opened:
        yield Connections(opened, policy)


class Connections:
    """The pools and limits that all providers are called with."""

    def __init__(self, pools: Pools | GivenTransport, policy: HTTPPolicy) -> None:
        self.pools = pools
        self.policy = policy

    def gates(self, providers: Iterable[str]) -> dict[str, Gate]:
        """The places and queues of the providers that have limits."""
        found = {name: self.pools.gate(name) for name in providers}
        return {name: gate for name, gate in found.items() if gate is not None}

    def to(
        self,
        provider: str,
        base_url: str,
        headers: Mapping[str, str],
        read_error: ErrorReader,
        deadline_header: str | None = None,
    ) -> ProviderHTTP:
        return ProviderHTTP(
            self.pools,
            self.policy,
            provider=provider,
            base_url=base_url,
            headers=headers,
            read_error=read_error,
            deadline_header=deadline_header,
        )
