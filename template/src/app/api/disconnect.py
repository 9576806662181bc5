"""Ends the work for a caller that has disconnected, because calls to providers cost money."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

from fastapi import Request, Response
from starlette.types import Receive

from app.resilience.race import cancel_and_wait, wait_for_end

T = TypeVar("T")

CLIENT_CLOSED = 499  # nginx's number for a client that did not wait for its answer


async def until_disconnect(request: Request, work: Coroutine[None, None, T]) -> T | None:
    """Run `work` until the caller disconnects.

    Returns `None` if the caller has disconnected; then the work and all its calls have ended.
    """
    working = asyncio.create_task(work)
    has_left = False

    def end(leaving: asyncio.Task[None]) -> None:
        nonlocal has_left
        if not leaving.cancelled():
            leaving.exception()  # retrieved, or asyncio logs that it never was
            has_left = working.cancel()

    leaving = asyncio.create_task(disconnected(request.receive))
    leaving.add_done_callback(end)
    try:
        return await asyncio.shield(working)
    except BaseException:
        if not has_left or _is_cancelled():
            raise
        return None
    finally:
        leaving.remove_done_callback(end)
        leaving.cancel()
        if not working.done():  # the request itself is cancelled
            await (wait_for_end([working]) if has_left else cancel_and_wait([working]))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def disconnected(receive: Receive) -> None:
    """Wait until the caller has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


def client_closed() -> Response:
    """The response for a disconnected caller, which only the log sees."""
    return Response(status_code=CLIENT_CLOSED)
