"""Builds the FastAPI application; no other module does."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from fastapi import FastAPI
from opentelemetry.trace import Tracer

from app.api import health, metrics, swagger_ui
from app.api.middleware import Access, stack
from app.api.middleware.body_limit import ByteBudget
from app.api.middleware.shedding import Sheddable
from app.api.openai.models import Catalogue, ProviderModels
from app.api.openai.router import openai_router
from app.api.openapi import DocumentedAPI
from app.api.problems import HANDLERS
from app.api.services import Check, Services
from app.clients.keys import KeyRing
from app.configuration.confidential import mask_secrets, secrets_masked
from app.features.ask.router import documents_router  # feature: ask
from app.features.chat.router import router as chat  # feature: chat
from app.features.embeddings.router import router as embeddings  # feature: embeddings
from app.features.extract.router import router as extract  # feature: extract
from app.features.jobs.opening import jobs_router  # feature: jobs
from app.llm.http import Transport
from app.llm.overload import Lookups, Overload
from app.project import project
from app.settings import Settings, load
from app.telemetry.logging import configure
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import OFF
from app.wiring import Service, open_service

_log = structlog.get_logger(__name__)

# A key that expires within this time is logged at each start.
_EXPIRY_NOTICE = timedelta(days=14)

# During an overload the service refuses requests to these paths before it reads them. The path of an
# endpoint that a project has removed may stay.
_SHEDDABLE = Sheddable(
    chain=("/v1/chat", "/v1/extract"),
    others=("/v1/ask", "/openai/v1/chat/completions"),
    embeddings=("/v1/embeddings", "/openai/v1/embeddings"),
)
# During an overload so many requests are looked up in the cache. Each takes 0.6 ms of CPU time.
_LOOKUPS_PER_S = 100

Opener = Callable[[Settings, Metrics], AbstractAsyncContextManager[Service]]
Exporting = Callable[[], AbstractAsyncContextManager[None]]


def create_app(
    settings: Settings | None = None,
    *,
    transport: Transport | None = None,
    opener: Opener | None = None,
    tracer: Tracer | None = None,
) -> FastAPI:
    """Create the application. Without settings it reads them and configures logging.

    Tests pass `settings`, and a `transport` or an `opener` as a fake for the outside world, or a
    `tracer` that records its spans.
    """
    settings = settings or _loaded()
    exporting: Exporting = nullcontext
    if tracer is None:
        tracer, exporting = _tracing(settings)
    if opener is None:
        opener = _opener(transport, tracer)
    return _assemble(settings, opener, tracer, exporting, _include_endpoints)


def create_worker(settings: Settings | None = None, *, opener: Opener | None = None) -> FastAPI:
    """Create the application of `python -m app worker`: the same stack, with probes and metrics only."""
    settings = settings or _loaded()
    tracer, exporting = _tracing(settings)
    opener = opener or _opener(None, tracer)
    return _assemble(settings, opener, tracer, exporting, _include_worker)


def _loaded() -> Settings:
    settings = load()
    mask_secrets(settings)
    _set_up_log(settings)
    _collect_garbage()
    return settings


def _set_up_log(settings: Settings) -> None:
    configure(replace(settings.log, level="DEBUG") if settings.debug_mode else settings.log)


def _collect_garbage() -> None:
    """Switch garbage collection on again (see `app.__main__`); ignore the objects so far."""
    gc.freeze()
    gc.enable()


def _tracing(settings: Settings) -> tuple[Tracer, Exporting]:
    """The tracer, and a block in which its spans are exported."""
    if not settings.enable_tracing:
        return OFF, nullcontext
    from app.telemetry.otel import Export  # noqa: PLC0415 - optional; the import takes 0.13 s

    export = Export()
    return export.tracer, export.running


def _opener(transport: Transport | None, tracer: Tracer) -> Opener:
    def open_it(settings: Settings, metrics: Metrics) -> AbstractAsyncContextManager[Service]:
        return open_service(settings, transport=transport, metrics=metrics, tracer=tracer)

    return open_it


def _include_endpoints(app: FastAPI, settings: Settings) -> None:
    # A feature is a directory in `app/features` and the lines that are marked with its name.
    # FastAPI asks each router in turn for the route of a request, so the busiest one is the first.
    app.include_router(chat)  # feature: chat
    app.include_router(documents_router(settings.documents.of(settings.app_env)))  # feature: ask
    app.include_router(embeddings)  # feature: embeddings
    app.include_router(extract)  # feature: extract
    app.include_router(openai_router(_catalogue(settings)))
    _include_background(app, settings)
    app.include_router(swagger_ui.router)
    app.routes.append(swagger_ui.assets())


def _include_worker(app: FastAPI, settings: Settings) -> None:
    _include_background(app, settings, worker_grace_s=settings.shutdown_grace_s)


def _include_background(
    app: FastAPI, settings: Settings, *, worker_grace_s: float | None = None
) -> None:
    """The work of features outside of requests, the probes and the metrics: of the API and of workers.

    `worker_grace_s`: this process is a worker, and its work has so many seconds when it stops.
    """
    app.include_router(jobs_router(settings.jobs, worker_grace_s))  # feature: jobs
    for own in (health, metrics):
        app.include_router(own.router)


def _assemble(
    settings: Settings,
    opener: Opener,
    tracer: Tracer,
    exporting: Exporting,
    include: Callable[[FastAPI, Settings], None],
) -> FastAPI:
    registry = Metrics()
    budget = ByteBudget(settings.max_bytes_in_flight, on_refused=registry.bytes_refused)
    registry.watch_bytes(lambda: budget.used)
    overload = Overload(Lookups(_LOOKUPS_PER_S if settings.enable_caching else 0))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with (
            secrets_masked(settings),
            exporting(),
            opener(settings, registry) as service,
        ):
            app.state.services = Services(
                chat=service.chat,
                embeddings=service.embeddings,
                metrics=registry,
                checks=_checks(service),
                providers=service.health,
                mock=service.mock,
                tracer=tracer,
                previews=settings.previews,
                debug=settings.debug_mode,
                shared=service.shared,
                batches=service.batches,
            )
            app.state.accounts = service.accounts
            overload.watch(service.gates, service.health, embeddings=service.embeddings.provider)
            _announce(settings, service)
            yield
        _log.info("service.stopped")

    documented = project()
    app = DocumentedAPI(
        providers=settings.llm_providers,
        needs_key=settings.client.is_key_required,
        title=documented.name,
        version=documented.version,
        description=documented.description,
        lifespan=lifespan,
        middleware=stack(
            registry,
            debug=settings.debug_mode,
            budget=budget,
            overload=overload,
            sheddable=_SHEDDABLE,
            tracer=tracer,
            access=_access(settings),
            owns_retries=settings.retry.max_attempts > 1,
        ),
        exception_handlers=dict(HANDLERS),
        docs_url=None,  # `app.api.swagger_ui` serves this page
        redoc_url=None,
        redirect_slashes=False,  # behind a proxy, a redirect would have the wrong scheme and host
        telemetry={"tracing": False, "metrics": False, "logs": False},  # they take 14% of a request
    )
    include(app, settings)
    return app


def _access(settings: Settings) -> Access:
    client = settings.client
    return Access(
        keys=KeyRing(client.keys or ()) if client.is_key_required else None,
        cors_origins=settings.cors_origins or (),
        admin_port=settings.admin_port,
        pages_on_main_port=settings.app_env == "dev",
        has_accounts=client.has_accounts,
    )


def _catalogue(settings: Settings) -> Catalogue:
    policies = [settings.provider(name) for name in settings.llm_providers]
    return Catalogue([ProviderModels(p.name, p.model, p.embedding_model) for p in policies])


def _checks(service: Service) -> dict[str, Check]:
    return {"cache": service.cache.ping, **service.checks}


def _announce(settings: Settings, service: Service) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    _log.info(
        "service.ready",
        url=f"http://{host}:{settings.port}",
        env=settings.app_env,
        providers=",".join(service.providers),
        cache=_cache_kind(settings),
        client_auth="required" if settings.client.is_key_required else "off",
    )
    _warn_of_expiry(settings)


def _warn_of_expiry(settings: Settings) -> None:
    soon = datetime.now(UTC).date() + _EXPIRY_NOTICE
    for key in settings.client.keys or ():
        if key.expires_on is not None and key.expires_on <= soon:
            _log.warning("client.key_expires", name=key.name, on=key.expires_on.isoformat())


def _cache_kind(settings: Settings) -> str:
    if not settings.enable_caching:
        return "off"
    return "memory" if settings.redis_url is None else "redis"
