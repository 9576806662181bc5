"""The only place where the service becomes a FastAPI application."""

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

import structlog
from fastapi import FastAPI

from app.api import ask, chat, docs, embeddings, extract, health, metrics
from app.api.documentation import DocumentedAPI
from app.api.middleware import stack
from app.api.problems import HANDLERS
from app.api.state import State
from app.llm.http import Transport
from app.settings import Settings, load
from app.telemetry.logging import configure
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import OFF, Tracer
from app.wiring import Service, open_service

_log = structlog.get_logger(__name__)

Opener = Callable[[Settings, Metrics], AbstractAsyncContextManager[Service]]


def create_app(
    settings: Settings | None = None,
    *,
    transport: Transport | None = None,
    opener: Opener | None = None,
    tracer: Tracer | None = None,
) -> FastAPI:
    """Without settings the application is the whole process: it reads them and sets up the log.

    Tests give `settings`, and a `transport` or an `opener` to stand in for the world outside, or a
    `tracer` that keeps its spans.
    """
    if settings is None:
        settings = load()
        _set_up_log(settings)
        _collect_garbage()
    if tracer is None:
        tracer = _tracer(settings)
    if opener is None:
        opener = _opener(transport, tracer)
    return _assemble(settings, opener, tracer)


def _set_up_log(settings: Settings) -> None:
    configure(replace(settings.log, level="DEBUG") if settings.debug_mode else settings.log)


def _collect_garbage() -> None:
    """Begin what `app.__main__` put off; what is imported by now is never looked at again."""
    gc.freeze()
    gc.enable()


def _tracer(settings: Settings) -> Tracer:
    if not settings.enable_tracing:
        return OFF
    from app.telemetry.otel import OTelTracer  # noqa: PLC0415 - an extra, and 0.13 s of the start

    return OTelTracer()


def _opener(transport: Transport | None, tracer: Tracer) -> Opener:
    def open_it(settings: Settings, metrics: Metrics) -> AbstractAsyncContextManager[Service]:
        return open_service(settings, transport=transport, metrics=metrics, tracer=tracer)

    return open_it


def _assemble(settings: Settings, opener: Opener, tracer: Tracer) -> FastAPI:
    registry = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with tracer.exporting(), opener(settings, registry) as service:
            app.state.door = State(
                chat=service.chat,
                embeddings=service.embeddings,
                grounded=service.grounded,
                metrics=registry,
                checks={
                    "cache": service.cache.ping,
                    "documents": service.grounded.library.is_ready,
                },
                providers=service.health,
                debug=settings.debug_mode,
            )
            _announce(settings, service)
            yield
        _log.info("service.stopped")

    app = DocumentedAPI(
        title="AI service",
        version="1",
        lifespan=lifespan,
        middleware=stack(registry, debug=settings.debug_mode, tracer=tracer),
        exception_handlers=dict(HANDLERS),
        docs_url=None,  # app.api.docs has its own
        redoc_url=None,
        redirect_slashes=False,  # a redirect names the scheme and host of the wrong side of a proxy
        telemetry={"tracing": False, "metrics": False, "logs": False},  # 14% of a request's time
    )
    for feature in (ask, chat, docs, embeddings, extract, health, metrics):
        app.include_router(feature.router)
    app.routes.append(docs.assets())
    return app


def _announce(settings: Settings, service: Service) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    _log.info(
        "service.ready",
        url=f"http://{host}:{settings.port}",
        env=settings.app_env,
        providers=",".join(service.providers),
        cache=_cache_kind(settings),
    )


def _cache_kind(settings: Settings) -> str:
    if not settings.enable_caching:
        return "off"
    return "memory" if settings.redis_url is None else "redis"
