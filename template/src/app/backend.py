"""Where limits, circuits, the cache and the clients' ledger keep their state: in this process.

`app.redis.backend` is the other one, for the processes that share a Redis. It is imported only where
a Redis is configured, because the import takes 6 MB of memory.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Protocol, TypeVar

from app.cache import Cache, MemoryCache
from app.clients.ledger import Ledger, LocalLedger
from app.resilience.circuit_breaker import SharedCircuit
from app.resilience.rate_limit import LocalLimiter, RateLimiter, RateLimitPolicy

if TYPE_CHECKING:
    from redis.asyncio import Redis

Check = Callable[[], Awaitable[bool]]
T = TypeVar("T")


class Shared(Protocol):
    """The Redis of all processes, behind its guard: see `app.redis.client.SharedRedis`."""

    @property
    def client(self) -> "Redis": ...

    def key(self, *parts: str) -> str: ...

    def tagged(self, tag: str, *parts: str) -> str: ...

    async def read(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T: ...

    async def write(self, ask: Callable[[], Awaitable[T]], *, otherwise: T) -> T: ...

    async def check(self) -> bool: ...


class Backend(Protocol):
    """Makes the parts that keep state. A provider is identified by its name and its address."""

    @property
    def checks(self) -> Mapping[str, Check]:
        """What `/readyz` asks of the backend, by name."""
        ...

    @property
    def shared(self) -> Shared | None:
        """The store that all processes share, for parts with keys of their own."""
        ...

    def cache(self) -> Cache: ...

    def ledger(self) -> Ledger: ...

    def limiter(self, policy: RateLimitPolicy, provider: str, address: str, /) -> RateLimiter: ...

    def circuit(self, provider: str, address: str, /) -> SharedCircuit | None:
        """The state that a circuit shares with those of other processes; `None`: it shares none."""
        ...


class LocalBackend:
    """The state of this process only."""

    checks: Mapping[str, Check] = {}
    shared: Shared | None = None

    def cache(self) -> Cache:
        return MemoryCache()

    def ledger(self) -> Ledger:
        return LocalLedger()

    def limiter(self, policy: RateLimitPolicy, _provider: str, _address: str) -> RateLimiter:
        return LocalLimiter(policy)

    def circuit(self, _provider: str, _address: str) -> None:
        return None
