"""What surrounds every request, from the outside in. Pure ASGI: nine times cheaper than the rest."""

from dataclasses import dataclass
from functools import partial

from opentelemetry.trace import Tracer
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from app.api.middleware.admin_pages import AdminPages
from app.api.middleware.body_limit import BodyLimit, ByteBudget
from app.api.middleware.client_auth import ClientAuth
from app.api.middleware.client_limits import RequestLimits
from app.api.middleware.masking import Masking
from app.api.middleware.requests import Correlation, Requests, Wrapping, no_cors
from app.api.middleware.shedding import NOTHING, Sheddable, Shedding
from app.api.middleware.tracing import Tracing
from app.clients.keys import KeyRing
from app.llm.overload import Overload
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import OFF


@dataclass(frozen=True, slots=True)
class Access:
    """Which requests may enter. `keys` is `None` if clients need no key."""

    keys: KeyRing | None = None
    cors_origins: tuple[str, ...] = ()
    admin_port: int | None = None
    pages_on_main_port: bool = True
    has_accounts: bool = False


EVERYTHING = Access()


def stack(
    metrics: Metrics,
    *,
    debug: bool,
    budget: ByteBudget,
    overload: Overload,
    sheddable: Sheddable = NOTHING,
    tracer: Tracer = OFF,
    access: Access = EVERYTHING,
    owns_retries: bool = True,
) -> list[Middleware]:
    return [
        Middleware(Masking),
        Middleware(Correlation),
        *([Middleware(Tracing, tracer=tracer)] if tracer is not OFF else []),
        Middleware(
            Requests,
            metrics=metrics,
            debug=debug,
            owns_retries=owns_retries,
            cors=_cors(access.cors_origins) if access.cors_origins else no_cors,
        ),
        *([_admin_pages(access)] if access.admin_port or not access.pages_on_main_port else []),
        *([Middleware(ClientAuth, keys=access.keys, metrics=metrics)] if access.keys else []),
        Middleware(Shedding, overload=overload, paths=sheddable),
        *([Middleware(RequestLimits, metrics=metrics)] if access.has_accounts else []),
        Middleware(BodyLimit, budget=budget),
    ]


def _admin_pages(access: Access) -> Middleware:
    return Middleware(
        AdminPages, admin_port=access.admin_port, on_main_port=access.pages_on_main_port
    )


def _cors(origins: tuple[str, ...]) -> Wrapping:
    """Outside of the key's check, because browsers send a preflight without a key."""
    return partial(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "POST", "DELETE"),
        allow_headers=(
            "Authorization",
            "Content-Type",
            "X-API-Key",
            "X-Request-ID",
            "X-Request-Timeout",
            "X-Tenant-ID",
            "traceparent",
        ),
        expose_headers=("X-Request-ID", "Retry-After", "RateLimit", "RateLimit-Policy"),
    )
