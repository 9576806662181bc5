"""The objects that the endpoints use. `app.main` creates them once, at start."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, Request
from opentelemetry.trace import Tracer

from app.backend import Shared
from app.llm.embedding_batches import EmbeddingBatches
from app.llm.model import ChatModel
from app.llm.provider_batches import ProviderBatches
from app.resilience.health import Health
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import OFF

Check = Callable[[], Awaitable[bool]]


@dataclass(frozen=True, slots=True)
class Services:
    """A feature that needs more keeps its own objects: see `app.features.ask.router`."""

    chat: ChatModel
    embeddings: EmbeddingBatches
    metrics: Metrics
    checks: dict[str, Check]  # optional dependencies, by their name in `/readyz`
    providers: Mapping[str, Health]
    mock: Check | None = None  # whether the mock API answers, if no real provider is configured
    tracer: Tracer = OFF
    previews: bool = False  # whether logs and spans may show the beginning of texts
    debug: bool = False
    shared: Shared | None = None  # the Redis of all processes, if one is configured
    batches: ProviderBatches | None = None  # of the first provider, if it has batches


def services_of(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(_services)]
