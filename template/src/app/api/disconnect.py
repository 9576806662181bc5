"""Ends the work for a caller that has disconnected, because calls to providers cost money."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from fastapi import Request, Response
from starlette.types import Receive

from app.resilience.race import cancel_and_wait

T = TypeVar("T")

CLIENT_CLOSED = 499  # nginx's number for a client that did not wait for its answer


async def until_disconnect(request: Request, work: Coroutine[None, None, T]) -> T | None:
    """Run `work` until the caller disconnects.

    Returns `None` if the caller has disconnected; then the work and all its calls have ended.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(disconnected(request.receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        await cancel_and_wait((working, leaving))


async def disconnected(receive: Receive) -> None:
    """Wait until the caller has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


def client_closed() -> Response:
    """The response for a disconnected caller, which only the log sees."""
    return Response(status_code=CLIENT_CLOSED)
