"""The scenarios: what the settings are, how many requests come, and what happens when."""

import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scripts.simulate.fleet import Fleet

Change = Callable[[Fleet], Coroutine[Any, Any, None]]

_MAX_CLIENTS = 10_000  # Redis' default


@dataclass(frozen=True, slots=True)
class Size:
    """The deployment, and the part of it that is simulated: one of `shrink`.

    A part has one of `shrink` replicas, requests and calls of the provider's limit, and a Redis with so
    much less of a processor and of connections. Times are not changed. `docs/scale.md` shows which
    results depend on it.
    """

    replicas: int = 1000
    rate: float = 100_000  # requests a second
    shrink: int = 100

    def __post_init__(self) -> None:
        if self.replicas < 1 or not 0 < self.rate < math.inf:
            raise ValueError("there must be at least one replica, and some requests a second")
        if self.shrink < 1 or self.replicas % self.shrink:
            raise ValueError(
                f"one of {self.shrink} cannot be simulated: {self.shrink} does not divide"
                f" {self.replicas} replicas"
            )

    @property
    def simulated_replicas(self) -> int:
        return self.replicas // self.shrink

    @property
    def simulated_rate(self) -> float:
        return self.rate / self.shrink

    @property
    def max_clients(self) -> float:
        return _MAX_CLIENTS / self.shrink


@dataclass(frozen=True, slots=True)
class Scenario:
    """`limit` is the provider's limit as a multiple of the rate of requests.

    `hot` is the part of the requests that ask one and the same question. `redis` is the number of
    processors that Redis would need to have: 1 is one Redis.
    """

    title: str
    seconds: float = 4.0
    limit: float = 1.5
    burst_s: float = 1.0  # the size of the limit's bucket, in seconds of the limit
    hot: float = 0.0
    clients: int = 0
    redis: float = 1.0
    settings: Mapping[str, str] = field(default_factory=dict)
    events: Sequence[tuple[float, Change]] = ()

    def variables(self, size: Size) -> dict[str, str]:
        per_s = self.limit * size.simulated_rate
        return {
            "RATE_LIMIT_REQUESTS_PER_MINUTE": str(max(1, round(per_s * 60))),
            "RATE_LIMIT_BURST": str(max(1, round(per_s * self.burst_s))),
            **self.settings,
        }


async def provider_down(fleet: Fleet) -> None:
    fleet.provider.is_down = True


async def redis_gone(fleet: Fleet) -> None:
    fleet.redis.is_gone = True


async def redis_back(fleet: Fleet) -> None:
    """A Redis without persistence has lost everything."""
    fleet.redis.forget()
    fleet.redis.is_gone = False


async def all_end(fleet: Fleet) -> None:
    await fleet.stop_all()


async def all_start(fleet: Fleet) -> None:
    await fleet.start_all()


# Enough for a hundred thousand requests a second, so that a scenario shows something else.
_MANY = 16.0

SCENARIOS: Mapping[str, Scenario] = {
    "steady": Scenario("Nothing happens; one Redis", seconds=10.0),
    "ample": Scenario("Nothing happens; Redis has as many processors as it needs", redis=_MANY),
    "clients": Scenario(
        "A thousand clients have limits; Redis has as many processors as it needs",
        redis=_MANY,
        clients=1000,
        settings={
            "CLIENT_REQUESTS_PER_MINUTE": "1000000",
            "CLIENT_TOKENS_PER_MINUTE": "1000000000",
            "CLIENT_CONCURRENCY": "1000",
            "CLIENT_BUDGET_USD_PER_DAY": "1000000",
        },
    ),
    "limit": Scenario(
        "The requests are twice the provider's limit",
        limit=0.5,
        redis=_MANY,
        settings={"RATE_LIMIT_MAX_WAIT_S": "1"},
    ),
    "down": Scenario(
        "The provider answers 503 from 1 s on",
        seconds=5.0,
        redis=_MANY,
        events=((1.0, provider_down),),
    ),
    "stampede": Scenario(
        "Each twentieth request asks the same question, and its answer expires after 2 s",
        seconds=5.0,
        hot=0.05,
        redis=_MANY,
        settings={"CACHE_TTL_S": "2", "CACHE_STALE_TTL_S": "0"},
    ),
    "restart": Scenario(
        "All replicas end at 2 s, and start again at 3 s; their clients come again",
        seconds=5.0,
        redis=_MANY,
        events=((2.0, all_end), (3.0, all_start)),
    ),
    "gone": Scenario(
        "Redis is gone from 1 s to 6 s, and has lost its data then; 80% of the provider's limit is used",
        seconds=12.0,
        limit=1.25,
        burst_s=0.1,
        redis=_MANY,
        events=((1.0, redis_gone), (6.0, redis_back)),
    ),
}
