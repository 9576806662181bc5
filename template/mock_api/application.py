"""The only assembly: `create_app()` makes an independent mock API with its own faults and records."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mock_api.anthropic.routes import ROUTES as ANTHROPIC_ROUTES
from mock_api.call import call_of
from mock_api.control import Control
from mock_api.faults import Faults
from mock_api.intake import Intake, refused
from mock_api.openai.routes import ROUTES as OPENAI_ROUTES
from mock_api.recorder import Recorder
from mock_api.refusal import Refusal
from mock_api.reply import DroppedOnPurposeError


def create_app() -> Starlette:
    faults, recorder = Faults(), Recorder()
    app = Starlette(
        routes=[
            Route("/healthz", healthy, methods=["GET"]),
            *Control(faults, recorder).routes(),
            *ANTHROPIC_ROUTES,
            *OPENAI_ROUTES,
        ],
        middleware=[Middleware(Intake, faults=faults, recorder=recorder)],
        exception_handlers={Refusal: refuse, HTTPException: refuse_route},
        lifespan=quiet_drops,
    )
    app.router.redirect_slashes = False  # the real APIs answer 404
    return app


async def healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for nothing else
    return refused(error, call_of(request.scope))


async def refuse_route(request: Request, error: Exception) -> Response:
    """A path or a method that does not exist."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if request.url.path.startswith("/_mock"):
        return JSONResponse({"error": {"message": error.detail}}, error.status_code, error.headers)
    where = f"{request.method} {request.url.path}"
    code = "method_not_supported" if error.status_code == 405 else None  # noqa: PLR2004 - HTTP
    refusal = Refusal(error.status_code, f"{error.detail}: {where}", code=code)
    return refused(refusal, call_of(request.scope))


@asynccontextmanager
async def quiet_drops(_: Starlette) -> AsyncIterator[None]:
    """Connections dropped on purpose, and stalls ended by a shutdown, are not worth a traceback."""

    # A function of this server's own: another one in the process must not take it away with its end.
    def unexpected(record: logging.LogRecord) -> bool:
        cause = record.exc_info[1] if record.exc_info else None
        return not isinstance(cause, DroppedOnPurposeError | asyncio.CancelledError)

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(unexpected)
    try:
        yield
    finally:
        logger.removeFilter(unexpected)
