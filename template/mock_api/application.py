"""Builds the mock API: `create_app()` returns one with its own faults and records."""

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

from mock_api.anthropic.batches import MessageBatches
from mock_api.anthropic.routes import ROUTES as ANTHROPIC_ROUTES
from mock_api.batches import Paces
from mock_api.call import call_of
from mock_api.control import Control
from mock_api.faults import Faults
from mock_api.intake import Intake, refused
from mock_api.oddities import Spoken
from mock_api.openai.batches import BatchesOfFiles
from mock_api.openai.routes import ROUTES as OPENAI_ROUTES
from mock_api.recorder import Recorder
from mock_api.refusal import RefusalError
from mock_api.reply import DroppedOnPurposeError


def create_app() -> Starlette:
    faults, recorder, spoken, paces = Faults(), Recorder(), Spoken(), Paces()
    app = Starlette(
        routes=[
            Route("/healthz", healthy, methods=["GET"]),
            *Control(faults, recorder, spoken, paces).routes(),
            *MessageBatches(paces, faults).routes(),
            *BatchesOfFiles(paces, faults).routes(),
            *ANTHROPIC_ROUTES,
            *OPENAI_ROUTES,
        ],
        middleware=[Middleware(Intake, faults=faults, recorder=recorder, spoken=spoken)],
        exception_handlers={RefusalError: refuse, HTTPException: refuse_route},
        lifespan=quiet_drops,
    )
    app.router.redirect_slashes = False  # the real APIs answer 404
    return app


async def healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def refuse(request: Request, error: Exception) -> Response:
    # The handler is registered for this class only.
    assert isinstance(error, RefusalError)  # noqa: S101
    return refused(error, call_of(request.scope))


async def refuse_route(request: Request, error: Exception) -> Response:
    """Refuse a path or a method that does not exist."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    if request.url.path.startswith("/_mock"):
        return JSONResponse({"error": {"message": error.detail}}, error.status_code, error.headers)
    where = f"{request.method} {request.url.path}"
    code = "method_not_supported" if error.status_code == 405 else None  # noqa: PLR2004 - HTTP
    refusal = RefusalError(error.status_code, f"{error.detail}: {where}", code=code)
    return refused(refusal, call_of(request.scope))


@asynccontextmanager
async def quiet_drops(_: Starlette) -> AsyncIterator[None]:
    """Log no traceback for connections dropped on purpose and for stalls ended by a shutdown."""

    # Each server has its own filter: if two of them shared it, the end of one would remove it.
    def unexpected(record: logging.LogRecord) -> bool:
        cause = record.exc_info[1] if record.exc_info else None
        return not isinstance(cause, DroppedOnPurposeError | asyncio.CancelledError)

    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(unexpected)
    try:
        yield
    finally:
        logger.removeFilter(unexpected)
