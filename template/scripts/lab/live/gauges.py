"""The state of the guards of a running service, as the page shows it."""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import TypedDict, Unpack

import app.backend
import app.redis.rate_limit
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


@contextmanager
def watched_limiters() -> Iterator[list[WatchedLimiter]]:
    """The limiters of the providers of a service that is built in this block, in their order."""
    made: list[WatchedLimiter] = []

    def make(policy: RateLimitPolicy, **options: Unpack[_Options]) -> WatchedLimiter:
        made.append(WatchedLimiter(policy, **options))
        return made[-1]

    with ExitStack() as patches:
        for module in (app.backend, app.redis.rate_limit):
            patches.enter_context(replaced(module, "LocalLimiter", make))
        yield made


def read(metrics: Metrics, providers: Sequence[str], limiters: Sequence[WatchedLimiter]) -> Event:
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
            for name, limiter in zip(providers, limiters, strict=False)
        },
        "cost_usd": sum(each.value for each in samples if each.name == _COST),
        "chat": asdict(chat) if chat is not None else None,
    }
