"""Settings in, a working service out: the one place that decides what stands in front of what.

No web framework here, so evaluations, notebooks and tests open the same service as the API does.

From the outside in, with the reasons for the order:

    Shared                      equal requests at the same time are one call (where equal ones may
                                share an answer at all: with ENABLE_CACHING)
    Hedged                      with HEDGE_AFTER_S: a slow question is asked a second time, of the
                                next provider first, with all of its guards
    Fallback                    a provider is given up only after all its guards have tried
    └─ for each provider
       Defaulted                everything below sees the model that is really asked
       Instrumented             one line and one measurement per call, as its caller lived it:
                                with cache hits, waits and all attempts (each retry has its own line)
       Cached                   a hit costs no attempt, no wait and no connection. Per provider,
                                because an answer belongs to the model that gave it
       Retrying                 each attempt passes the guards below; what they refuse is not tried
                                again, so an open circuit costs no wait
       CircuitBreaking          a provider that is away costs no token, no attempt and no connection
       OpenAIChat, …            one HTTP call

`MAX_CONCURRENCY` is the size of the connection pool that all providers share. A call that finds it
full queues for a bounded time and then fails with `TimedOut`; an abandoned call gives its place back.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import structlog

from app.cache.base import Cache
from app.cache.memory import MemoryCache
from app.cache.off import NoCache
from app.cache.redis import RedisCache
from app.llm.http import Connections, Transport, open_connections
from app.llm.model import Model, Provider
from app.llm.providers.anthropic.client import AnthropicChat
from app.llm.providers.openai.client import OpenAIChat
from app.llm.providers.policy import ProviderPolicy
from app.llm.wrappers.cached import Cached
from app.llm.wrappers.circuit_breaking import CircuitBreaking
from app.llm.wrappers.defaulted import Defaulted
from app.llm.wrappers.fallback import Fallback
from app.llm.wrappers.hedged import Hedged
from app.llm.wrappers.instrumented import Instrumented
from app.llm.wrappers.retrying import Retrying
from app.llm.wrappers.shared import Shared
from app.resilience.health import Health
from app.resilience.probing import Patient, probing
from app.settings import ProviderName, Settings
from app.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)

# A new provider is a directory in `llm/providers`, a line here, and its name in the settings.
PROVIDERS: dict[ProviderName, Callable[[ProviderPolicy, Connections], Provider]] = {
    "openai": OpenAIChat,
    "anthropic": AnthropicChat,
}


@dataclass(frozen=True, slots=True)
class Service:
    chat: Model
    cache: Cache
    health: Mapping[str, Health]  # of each provider, in the order of the chain

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(self.health)


@asynccontextmanager
async def open_service(
    settings: Settings, *, transport: Transport | None = None, metrics: Metrics | None = None
) -> AsyncIterator[Service]:
    """Everything that has to be closed again is closed when this ends."""
    metrics = metrics or Metrics()
    async with (
        open_connections(settings.http, transport) as connections,
        aclosing(_cache(settings)) as cache,
    ):
        guarded = [
            _guarded(name, settings, connections, cache, metrics) for name in settings.llm_providers
        ]
        patients = {model.name: patient for model, patient in guarded}
        async with probing(patients, settings.health_probe_interval_s, report=_unwell):
            yield Service(
                chat=_chain([model for model, _ in guarded], settings),
                cache=cache,
                health={name: patient.health for name, patient in patients.items()},
            )


def _guarded(
    name: ProviderName,
    settings: Settings,
    connections: Connections,
    cache: Cache,
    metrics: Metrics,
) -> tuple[Model, Patient]:
    policy = settings.provider(name)
    provider = PROVIDERS[name](policy, connections)
    breaking = CircuitBreaking(provider, settings.breaker)
    model: Model = Retrying(breaking, settings.retry)
    model = Cached(model, cache)
    model = Instrumented(model, metrics, previews=settings.debug_mode)
    return Defaulted(model, policy), Patient(breaking.health, provider.ping)


def _chain(models: Sequence[Model], settings: Settings) -> Model:
    chain: Model = Fallback(models)
    if settings.hedge.after_s is not None:
        chain = Hedged(chain, settings.hedge, alternative=Fallback([*models[1:], models[0]]))
    return Shared(chain) if settings.enable_caching else chain


def _unwell(provider: str, error: Exception, /) -> None:
    _log.warning("llm.probe", provider=provider, error=type(error).__name__)


def _cache(settings: Settings) -> Cache:
    if not settings.enable_caching:
        return NoCache()
    if settings.redis_url is None:
        return MemoryCache()
    return RedisCache.at(settings.redis_url.get_secret_value())
