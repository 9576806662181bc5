import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from fastapi import Request, Response

from app.resilience.tasks import end_all

T = TypeVar("T")

_CLIENT_CLOSED = 499  # nginx's number


async def while_listening(request: Request, work: Coroutine[None, None, T]) -> T | None:
    """Work for as long as the caller waits: what it calls meanwhile is paid for.

    `None` when the caller has hung up; the work has ended then, and all its calls with it.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        await end_all((working, leaving))


def to_nobody() -> Response:
    """Answer a caller who has hung up: only the log reads it."""
    return Response(status_code=_CLIENT_CLOSED)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
