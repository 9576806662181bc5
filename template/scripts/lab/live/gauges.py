"""The state of the guards of a running service, as the page shows it."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import TypedDict, Unpack

import app.backend
import app.redis.rate_limit
from app.clients.ledger import Hold, LocalLedger, Standing
from app.resilience.rate_limit import LocalLimiter, RateLimitPolicy
from app.telemetry.metrics import Metrics
from scripts.lab.clock import replaced
from scripts.lab.live.bus import Event

_ROUTE = "POST /v1/chat"
_STATE, _COST = "llm_breaker_state", "llm_cost_usd_total"

# The time of a call is a sum of fractions.
_ROUNDING_S = 1e-6


class _Options(TypedDict, total=False):
    sleep: Callable[[float], Awaitable[None]]
    clock: Callable[[], float]


class WatchedLimiter(LocalLimiter):
    """A limiter that can tell how many calls it would let pass now."""

    def __init__(self, policy: RateLimitPolicy, **options: Unpack[_Options]) -> None:
        super().__init__(policy, **options)
        self.size = policy.requests_per_minute if policy.strict else policy.bucket

    @property
    def left(self) -> int:
        """The first call that would have to wait has as many calls before it as could pass."""
        now = self._clock()

        def waits(ahead: int) -> bool:
            return self._schedule.free_at(now, ahead) > now + _ROUNDING_S

        return bisect_left(range(self.size), x=True, key=waits)


class WatchedLedger(LocalLedger):
    """A ledger that can tell how many requests each client has left, and how many it lost."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, int] = {}
        self._refused: Counter[str] = Counter()

    def admit(self, hold: Hold) -> Standing:
        standing = super().admit(hold)
        if (size := hold.limits.requests_per_minute) is not None:
            self._sizes[hold.client] = size
            self._refused[hold.client] += standing.refused is not None
        return standing

    @property
    def clients(self) -> dict[str, dict[str, int]]:
        """The clients with a limit of requests that have sent one, in the order of their first."""
        now_s = self._clock()
        return {
            name: {
                "left": max(0, size - self._of(name, now_s).requests),
                "size": size,
                "refused": self._refused[name],
            }
            for name, size in self._sizes.items()
        }


@dataclass(frozen=True, slots=True)
class Watched:
    """The limiters of the providers, in their order, and the ledger of the clients."""

    limiters: list[WatchedLimiter] = field(default_factory=list)
    ledgers: list[WatchedLedger] = field(default_factory=list)


@contextmanager
def watched_limits() -> Iterator[Watched]:
    """The limits of a service that is built in this block. With Redis, those of clients are in there."""
    watched = Watched()

    def limiter(policy: RateLimitPolicy, **options: Unpack[_Options]) -> WatchedLimiter:
        watched.limiters.append(WatchedLimiter(policy, **options))
        return watched.limiters[-1]

    def ledger() -> WatchedLedger:
        watched.ledgers.append(WatchedLedger())
        return watched.ledgers[-1]

    with ExitStack() as patches:
        for module in (app.backend, app.redis.rate_limit):
            patches.enter_context(replaced(module, "LocalLimiter", limiter))
        patches.enter_context(replaced(app.backend, "LocalLedger", ledger))
        yield watched


def read(metrics: Metrics, providers: Sequence[str], watched: Watched) -> Event:
    """The values of now. Percentiles are those of `/metrics/summary`, in milliseconds."""
    samples = [each for family in metrics.registry.collect() for each in family.samples]
    chat = metrics.recent_http.statistics().get(_ROUTE)
    return {
        "kind": "gauges",
        "circuits": {
            each.labels["provider"]: each.labels["state"]
            for each in samples
            if each.name == _STATE and each.value
        },
        "buckets": {
            name: {"left": limiter.left, "size": limiter.size}
            for name, limiter in zip(providers, watched.limiters, strict=False)
        },
        "clients": {
            name: values for each in watched.ledgers for name, values in each.clients.items()
        },
        "cost_usd": sum(each.value for each in samples if each.name == _COST),
        "chat": asdict(chat) if chat is not None else None,
    }
