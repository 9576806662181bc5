"""Builds the service from its settings: the only place that decides which guard stands in front of which.

No web framework here, so evaluations, notebooks and tests open the same service as the API does.

A chat request takes this way:

    Deduplicated, Hedged        guards of the whole chain: see `_chain`
    Fallback                    asks the next provider when all guards of one have failed
    +- for each provider: its guards, see `_guarded`, and its client
    +- when all have failed: the earlier answers that `Cached` of each provider still has, in the same
       order, each with the defaults of its provider

Batches of texts take the same way: a call that fails is repeated alone.

`MAX_CONCURRENCY` is the size of each provider's own connection pool (a bulkhead): a provider that
hangs takes no connection from another one. A call that finds its pool full goes to the next provider
if that one has a free connection; otherwise it waits in a short queue, fair between clients, or
fails with `OverloadedError` at once. An abandoned call gives its place back. Probes have connections of
their own.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

import structlog
from opentelemetry.trace import Tracer

from app.backend import Backend, Check, LocalBackend, Shared
from app.cache import Cache, NoCache
from app.clients.account import Accounts
from app.configuration.confidential import secrets_masked
from app.configuration.provider_rules import is_mock
from app.errors import ProviderConnectionError
from app.llm.costs import PriceList
from app.llm.embedding_batches import EmbeddingBatches
from app.llm.estimates import Estimator
from app.llm.fallback import Fallback
from app.llm.guards.cached import Cached
from app.llm.guards.circuit_breaking import CircuitBreaking
from app.llm.guards.deduplicated import Deduplicated
from app.llm.guards.guard import Guard, WithDefaults, stacked
from app.llm.guards.hedged import Hedged
from app.llm.guards.instrumented import Billed, Instrumented
from app.llm.guards.rate_limited import RateLimited
from app.llm.guards.retrying import Retrying
from app.llm.guards.traced import Traced, TracedAttempts
from app.llm.http import Connections, Transport, open_connections
from app.llm.model import Model
from app.llm.pools import Gate
from app.llm.price_files import current_prices
from app.llm.provider_batches import ProviderBatches
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.registry import APIS, client_of
from app.llm.spending import Ceilings, Charged, Reserved
from app.llm.stale_answers import StaleAnswers
from app.llm.token_limited import TokenLimited
from app.resilience.bulkhead import Bulkhead
from app.resilience.health import Health, ProbeTarget, any_reachable, probing
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import OFF

_log = structlog.get_logger(__name__)

# One batch of texts leaves three quarters of the connections of its provider to other calls.
_BATCH_SHARE = 4


@dataclass(frozen=True, slots=True)
class Service:
    chat: Model
    embeddings: EmbeddingBatches
    cache: Cache
    health: Mapping[str, Health]  # of each provider, in the order of the chain
    checks: Mapping[str, Check] = field(default_factory=dict)  # of the backend: Redis, if it is one
    accounts: Accounts | None = None  # of clients; without them no limits are enforced
    mock: Check | None = None  # whether the mock API answers, if no real provider is configured
    shared: Shared | None = None  # the Redis of all processes, if one is configured
    gates: Mapping[str, Gate] = field(default_factory=dict)  # the queues of the providers
    batches: ProviderBatches | None = None  # of the first provider, if it has batches

    @property
    def providers(self) -> tuple[str, ...]:
        return tuple(self.health)


@dataclass(frozen=True, slots=True)
class _Common:
    """The parts that the guards of all providers share."""

    settings: Settings
    connections: Connections
    backend: Backend
    cache: Cache
    metrics: Metrics
    prices: PriceList
    tracer: Tracer
    spending: Estimator | None  # `None`: neither keys nor limits of clients


@dataclass(frozen=True, slots=True)
class _Guarded:
    """A provider behind its guards, its earlier answers, and its health."""

    model: Model
    stale: Model
    target: ProbeTarget


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
        secrets_masked(settings),
        open_connections(settings.http, transport, metrics) as connections,
        _backend(settings) as backend,
        aclosing(backend.cache() if settings.enable_caching else NoCache()) as cache,
    ):
        prices = current_prices(settings.prices_file)
        spending = _estimator(settings, prices) if settings.client.has_accounts else None
        common = _Common(settings, connections, backend, cache, metrics, prices, tracer, spending)
        guarded = [_guarded(name, common) for name in settings.llm_providers]
        targets = {each.model.name: each.target for each in guarded}
        chat = _chain(guarded, common)
        async with probing(targets, settings.health_probe_interval_s, report=_log_probe_failure):
            yield Service(
                chat=chat,
                embeddings=_batches(chat, settings),
                cache=cache,
                health={name: target.health for name, target in targets.items()},
                checks=backend.checks,
                accounts=_accounts(common),
                mock=_mock_check(targets.values(), settings),
                shared=backend.shared,
                gates=connections.gates(settings.llm_providers),
                batches=_provider_batches(common),
            )


def _guarded(name: str, common: _Common) -> _Guarded:
    """Put a provider behind its guards. The list goes from the outside in."""
    settings, metrics, tracer = common.settings, common.metrics, common.tracer
    policy = settings.provider(name)
    previews = settings.previews
    provider = client_of(policy, common.connections)
    cached = Cached(common.cache, settings.cache, address=policy.base_url, metrics=metrics)
    shared = common.backend.circuit(name, policy.base_url)
    breaking = CircuitBreaking(
        settings.breaker, models=policy.models, shared=shared, metrics=metrics
    )
    guards: list[Guard] = [
        # Every guard below knows the model and the parameters of the call.
        WithDefaults(policy),
        # One span around the whole call.
        *([Traced(tracer, vendor=policy.vendor, previews=previews)] if tracer is not OFF else []),
        # One log line and one measurement per call as its caller sees it: with cache hits, waits and
        # all attempts. Each retry has a line of its own.
        Instrumented(metrics, models=policy.models, previews=previews),
        # A hit costs no attempt, no wait and no connection. Per provider, because an answer belongs
        # to the model that gave it.
        cached,
        # Each attempt passes the guards below. What these refuse is not retried, so an open circuit
        # and a reached limit cost no wait.
        Retrying(policy.retrying(settings.retrying), metrics=metrics),
        # One span per attempt.
        *([TracedAttempts(tracer, vendor=policy.vendor)] if tracer is not OFF else []),
        # While a provider is down, calls fail fast without using a rate-limit token or a connection.
        # The open state is shared through Redis, if configured.
        breaking,
        # Each attempt counts, because the provider counts each. One limit per provider, shared
        # through Redis, if configured.
        _limited(policy, common),
        # The client pays for each attempt, by the receipt of the guard below.
        *([Charged(common.spending)] if common.spending is not None else []),
        # The time and cost of each attempt, answered or broken off, goes to the receipt that
        # `Instrumented` sends down with the request.
        Billed(common.prices, vendor=policy.vendor),
    ]
    return _Guarded(
        stacked(provider, guards),
        stacked(StaleAnswers(cached), [WithDefaults(policy)]),
        ProbeTarget(breaking.health, provider.ping),
    )


def _mock_check(targets: Iterable[ProbeTarget], settings: Settings) -> Check | None:
    """The check that the mock API answers; `None` if a real provider is configured.

    A real provider that is down may come back. The mock API exists in development only: elsewhere
    a service without configuration would be ready, and never answer a request.
    """
    addresses = [settings.provider(name).base_url for name in settings.llm_providers]
    return any_reachable(targets, ProviderConnectionError) if all(map(is_mock, addresses)) else None


def _chain(guarded: Sequence[_Guarded], common: _Common) -> Model:
    """Put all providers behind the guards of the whole chain, from the outside in."""
    settings, metrics = common.settings, common.metrics
    gates = common.connections.gates(settings.llm_providers)
    bulkheads = {name: gate.bulkhead for name, gate in gates.items()}
    guards: list[Guard] = [*_ceilings(settings)]
    if common.spending is not None:
        # Each call is covered by a reservation of its client.
        guards.append(Reserved(common.spending))
    if settings.enable_caching:
        # Identical requests at the same time are one call. Without a cache each is its own call.
        guards.append(Deduplicated(metrics=metrics))
    if settings.hedge.after_s is not None:
        # A slow request is sent a second time, to the next provider first, with all of its guards.
        rotated = _fallback([*guarded[1:], guarded[0]], bulkheads, metrics)
        guards.append(Hedged(settings.hedge, alternative=rotated, metrics=metrics))
    return stacked(_fallback(guarded, bulkheads, metrics), guards)


def _ceilings(settings: Settings) -> list[Guard]:
    """What no caller may ask for, if the settings restrict it."""
    if settings.max_tokens_limit is None and settings.allowed_models is None:
        return []
    configured = [settings.provider(name).models for name in settings.llm_providers]
    allowed = settings.allowed_models
    models = None if allowed is None else frozenset(allowed).union(*configured)
    return [Ceilings(max_tokens=settings.max_tokens_limit, models=models)]


def _estimator(settings: Settings, prices: PriceList) -> Estimator:
    return Estimator(prices, [settings.provider(name) for name in settings.llm_providers])


def _accounts(common: _Common) -> Accounts | None:
    if common.spending is None:
        return None
    settings = common.settings
    return Accounts(
        common.backend.ledger(),
        defaults=settings.client,
        clients=settings.clients,
        estimate=common.spending.of_body,
    )


def _fallback(
    guarded: Sequence[_Guarded], bulkheads: Mapping[str, Bulkhead], metrics: Metrics
) -> Fallback:
    models, stale = [each.model for each in guarded], [each.stale for each in guarded]
    return Fallback(models, stale, bulkheads=bulkheads, metrics=metrics)


def _limited(provider: ProviderPolicy, common: _Common) -> Guard:
    policy = common.settings.rate_limit
    limiter = common.backend.limiter(policy, provider.name, provider.base_url)
    if not policy.tokens_per_minute:
        return RateLimited(limiter, metrics=common.metrics)
    return TokenLimited(
        limiter,
        common.spending or _estimator(common.settings, common.prices),
        tokens_per_minute=policy.tokens_per_minute,
        metrics=common.metrics,
    )


def _backend(settings: Settings) -> AbstractAsyncContextManager[Backend]:
    if settings.redis_url is None:
        return nullcontext(LocalBackend())
    from app.redis.backend import open_backend  # noqa: PLC0415 - takes 6 MB, for those with a Redis

    return open_backend(settings.redis_address, settings.redis_key_prefix)


def _batches(chat: Model, settings: Settings) -> EmbeddingBatches:
    """The batches of texts. Stored vectors belong to the address of the provider that made them."""
    limit = max(1, settings.max_concurrency // _BATCH_SHARE)
    for policy in map(settings.provider, settings.llm_providers):
        if policy.embedding_model:
            provider, address = policy.name, policy.base_url
            return EmbeddingBatches(chat, limit=limit, provider=provider, address=address)
    return EmbeddingBatches(chat, limit=limit)


def _provider_batches(common: _Common) -> ProviderBatches | None:
    """Those of the first provider. A batch is not passed on, and only the ceilings guard it."""
    settings = common.settings
    policy = settings.provider(settings.llm_providers[0])
    make = APIS[policy.api].batches
    if make is None:
        return None
    api = make(policy, common.connections)
    return ProviderBatches(api, policy.vendor, common.prices, _ceilings(settings), policy.models)


def _log_probe_failure(provider: str, error: Exception, /) -> None:
    _log.warning("llm.probe", provider=provider, error=type(error).__name__)
