"""Settings in, a working service out: the one place that decides what stands in front of what.

No web framework here, so evaluations, notebooks and tests open the same service as the API does.

From the outside in, with the reasons for the order:

    Fallback                    a provider is given up only after all its guards have tried
    └─ for each provider
       Defaulted                everything below sees the model that is really asked
       Instrumented             one line and one measurement per call, as its caller lived it:
                                with cache hits, waits and all attempts (each retry has its own line)
       Cached                   a hit costs no attempt, no wait and no connection. Per provider,
                                because an answer belongs to the model that gave it
       Retrying                 closest to the wire: only it knows whether trying again is safe
       OpenAIChat, …            one HTTP call

`MAX_CONCURRENCY` is the size of the connection pool that all providers share. A call that finds it
full queues for a bounded time and then fails with `TimedOut`; an abandoned call gives its place back.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from app.cache.base import Cache
from app.cache.memory import MemoryCache
from app.cache.off import NoCache
from app.cache.redis import RedisCache
from app.llm.http import Connections, Transport, open_connections
from app.llm.model import Model
from app.llm.providers.anthropic.client import AnthropicChat
from app.llm.providers.openai.client import OpenAIChat
from app.llm.providers.policy import ProviderPolicy
from app.llm.providers.sdk import anthropic_sdk, openai_sdk
from app.llm.wrappers.cached import Cached
from app.llm.wrappers.defaulted import Defaulted
from app.llm.wrappers.fallback import Fallback
from app.llm.wrappers.instrumented import Instrumented
from app.llm.wrappers.retrying import Retrying
from app.settings import ProviderName, Settings
from app.telemetry.metrics import Metrics

# A new provider is a directory in `llm/providers`, a line here, and its name in the settings.
PROVIDERS: dict[ProviderName, Callable[[ProviderPolicy, Connections], Model]] = {
    "openai": OpenAIChat,
    "anthropic": AnthropicChat,
    "openai-sdk": openai_sdk,
    "anthropic-sdk": anthropic_sdk,
}


@dataclass(frozen=True, slots=True)
class Service:
    chat: Model
    cache: Cache
    providers: tuple[str, ...]


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
        yield Service(chat=Fallback(guarded), cache=cache, providers=settings.llm_providers)


def _guarded(
    name: ProviderName,
    settings: Settings,
    connections: Connections,
    cache: Cache,
    metrics: Metrics,
) -> Model:
    policy = settings.provider(name)
    model: Model = PROVIDERS[name](policy, connections)
    model = Retrying(model, settings.retry)
    model = Cached(model, cache)
    model = Instrumented(model, metrics, previews=settings.debug_mode)
    return Defaulted(model, policy)


def _cache(settings: Settings) -> Cache:
    if not settings.enable_caching:
        return NoCache()
    if settings.redis_url is None:
        return MemoryCache()
    return RedisCache.at(settings.redis_url.get_secret_value())
