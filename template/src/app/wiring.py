"""Settings in, a working service out: the one place that decides what stands in front of what.

No web framework here, so evaluations, notebooks and tests open the same service as the API does.

From the outside in, with the reasons for the order:

    Shared                      equal requests at the same time are one call (where equal ones may
                                share an answer at all: with ENABLE_CACHING)
    Hedged                      with HEDGE_AFTER_S: a slow question is asked a second time, of the
                                next provider first, with all of its guards
    Fallback                    a provider is given up only after all its guards have tried
    ├─ for each provider
    │  Defaulted                everything below sees the model that is really asked
    │  Traced                   with ENABLE_TRACING: one span around all of this
    │  Instrumented             one line and one measurement per call, as its caller lived it:
    │                           with cache hits, waits and all attempts (each retry has its own line)
    │  Cached                   a hit costs no attempt, no wait and no connection. Per provider,
    │                           because an answer belongs to the model that gave it
    │  Retrying                 each attempt passes the guards below; what they refuse is not tried
    │                           again, so an open circuit and a reached limit cost no wait
    │  TracedAttempts           with ENABLE_TRACING: one span per attempt
    │  CircuitBreaking          a provider that is away costs no token and no connection. Who finds
    │                           out tells the other processes, through Redis when there is one
    │  RateLimited              each attempt counts, because the provider counts each. One limit per
    │                           provider, shared through Redis when there is one
    │  OpenAI, …                one HTTP call
    └─ and when all have failed
       Stale                    what `Cached` of each provider still has, in the same order

Batches of texts go through the same chain: a call that fails is tried again alone. Questions about
documents are such a batch, a search, and a question of the chain; with ENABLE_TRACING, the first two
are a span.

`MAX_CONCURRENCY` is the size of the connection pool that all providers share. A call that finds it
full queues for a bounded time and then fails with `TimedOut`; an abandoned call gives its place back.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass

import structlog
from redis.asyncio import Redis

from app.cache.base import Cache
from app.cache.memory import MemoryCache
from app.cache.off import NoCache
from app.cache.redis import RedisCache
from app.llm.grounded import Grounded, GroundedAnswer, Searchable, embedding_by
from app.llm.http import Connections, Transport, open_connections
from app.llm.model import Model, Provider
from app.llm.prices import PriceList
from app.llm.providers.anthropic.client import AnthropicChat
from app.llm.providers.openai.client import OpenAI
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.sdk import anthropic_sdk, openai_sdk
from app.llm.traced_library import TracedLibrary
from app.llm.wrappers.batches import EmbeddingBatches
from app.llm.wrappers.cached import Cached
from app.llm.wrappers.circuit_breaking import CircuitBreaking
from app.llm.wrappers.defaulted import Defaulted
from app.llm.wrappers.fallback import Fallback
from app.llm.wrappers.hedged import Hedged
from app.llm.wrappers.instrumented import Instrumented
from app.llm.wrappers.rate_limited import RateLimited
from app.llm.wrappers.retrying import Retrying
from app.llm.wrappers.shared import Shared
from app.llm.wrappers.stale import Stale
from app.llm.wrappers.traced import Traced, TracedAttempts
from app.resilience.circuit_breaker import NOT_SHARED, SharedCircuit
from app.resilience.circuit_redis import RedisCircuit
from app.resilience.health import Health
from app.resilience.probing import Patient, probing
from app.resilience.rate_limit import LocalLimiter, RateLimiter
from app.resilience.rate_limit_redis import RedisLimiter
from app.retrieval.library import Library
from app.settings import ProviderName, Settings
from app.shared_redis import open_redis
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import OFF, Tracer

_log = structlog.get_logger(__name__)

# A new provider is a directory in `llm/providers`, a line here, and its name in the settings.
PROVIDERS: dict[ProviderName, Callable[[ProviderPolicy, Connections], Provider]] = {
    "openai": OpenAI,
    "anthropic": AnthropicChat,
    "openai-sdk": openai_sdk,
    "anthropic-sdk": anthropic_sdk,
}

# One batch of texts leaves three quarters of the connections to everybody else.
_BATCH_SHARE = 4


@dataclass(frozen=True, slots=True)
class Service:
    chat: Model
    embeddings: EmbeddingBatches
    grounded: Grounded
    cache: Cache
    health: Mapping[str, Health]  # of each provider, in the order of the chain

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(self.health)

    async def ask(self, question: str, *, top_k: int | None = None) -> GroundedAnswer:
        """Answer from the documents of `DOCUMENTS_DIR`, as `/v1/ask` does."""
        return await self.grounded.ask(question, top_k=top_k)


@dataclass(frozen=True, slots=True)
class _Common:
    """What the guards of all providers share."""

    settings: Settings
    connections: Connections
    redis: Redis | None
    cache: Cache
    metrics: Metrics
    prices: PriceList
    tracer: Tracer


@dataclass(frozen=True, slots=True)
class _Guarded:
    """A provider behind its guards, its last resort, and how it is doing."""

    model: Model
    stale: Model
    patient: Patient


@asynccontextmanager
async def open_service(
    settings: Settings,
    *,
    transport: Transport | None = None,
    metrics: Metrics | None = None,
    tracer: Tracer = OFF,
) -> AsyncIterator[Service]:
    """Everything that has to be closed again is closed when this ends."""
    metrics = metrics or Metrics()
    async with (
        open_connections(settings.http, transport) as connections,
        _redis(settings) as redis,
        aclosing(_cache(settings, redis)) as cache,
    ):
        prices = PriceList.current(settings.prices_file)
        common = _Common(settings, connections, redis, cache, metrics, prices, tracer)
        guarded = [_guarded(name, common) for name in settings.llm_providers]
        patients = {each.model.name: each.patient for each in guarded}
        chat = _chain(guarded, common)
        embeddings = EmbeddingBatches(chat, limit=max(1, settings.max_concurrency // _BATCH_SHARE))
        async with (
            probing(patients, settings.health_probe_interval_s, report=_unwell),
            aclosing(_library(embeddings, settings)) as library,
        ):
            yield Service(
                chat=chat,
                embeddings=embeddings,
                grounded=Grounded(chat, _searched(library, common), settings.documents),
                cache=cache,
                health={name: patient.health for name, patient in patients.items()},
            )


def _guarded(name: ProviderName, common: _Common) -> _Guarded:
    settings, metrics, tracer = common.settings, common.metrics, common.tracer
    policy = settings.provider(name)
    previews = _previews(settings)
    provider = PROVIDERS[name](policy, common.connections)
    limited = RateLimited(provider, _limiter(name, common), meter=metrics)
    breaking = CircuitBreaking(
        limited, settings.breaker, shared=_circuit(name, common), meter=metrics
    )
    attempts = TracedAttempts(breaking, tracer) if tracer.is_on else breaking
    retrying = Retrying(attempts, settings.retrying, meter=metrics)
    cached = Cached(retrying, common.cache, settings.cache, meter=metrics)
    seen = Instrumented(
        cached,
        metrics,
        prices=common.prices,
        models=policy.models,
        previews=previews,
    )
    traced = Traced(seen, tracer, previews=previews) if tracer.is_on else seen
    return _Guarded(
        Defaulted(traced, policy),
        Defaulted(Stale(cached), policy),
        Patient(breaking.health, provider.ping),
    )


def _chain(guarded: Sequence[_Guarded], common: _Common) -> Model:
    settings, metrics = common.settings, common.metrics
    chain: Model = _fallback(guarded, metrics)
    if settings.hedge.after_s is not None:
        rotated = _fallback([*guarded[1:], guarded[0]], metrics)
        chain = Hedged(chain, settings.hedge, alternative=rotated, meter=metrics)
    return Shared(chain) if settings.enable_caching else chain


def _fallback(guarded: Sequence[_Guarded], metrics: Metrics) -> Fallback:
    models, stale = [each.model for each in guarded], [each.stale for each in guarded]
    return Fallback(models, stale, meter=metrics)


def _limiter(name: ProviderName, common: _Common) -> RateLimiter:
    if common.redis is None:
        return LocalLimiter(common.settings.rate_limit)
    return RedisLimiter(name, common.settings.rate_limit, common.redis)


def _circuit(name: ProviderName, common: _Common) -> SharedCircuit:
    return NOT_SHARED if common.redis is None else RedisCircuit(name, common.redis)


def _redis(settings: Settings) -> AbstractAsyncContextManager[Redis | None]:
    if settings.redis_url is None:
        return nullcontext()
    return open_redis(settings.redis_url.get_secret_value())


def _cache(settings: Settings, redis: Redis | None) -> Cache:
    if not settings.enable_caching:
        return NoCache()
    return MemoryCache() if redis is None else RedisCache(redis)


def _library(embeddings: EmbeddingBatches, settings: Settings) -> Library:
    embed = embedding_by(embeddings)
    return Library(settings.documents, embed, previews=_previews(settings))


def _searched(library: Library, common: _Common) -> Searchable:
    if not common.tracer.is_on:
        return library
    return TracedLibrary(library, common.tracer, previews=_previews(common.settings))


def _previews(settings: Settings) -> bool:
    return settings.log.previews or settings.debug_mode


def _unwell(provider: str, error: Exception, /) -> None:
    _log.warning("llm.probe", provider=provider, error=type(error).__name__)
