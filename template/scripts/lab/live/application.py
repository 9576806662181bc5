"""The page, its events, and its switches. It is for this machine: other origins are refused."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Protocol

import orjson
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from scripts.lab.incident import names
from scripts.lab.live.bus import Bus, Event
from scripts.lab.live.words import catalogue
from scripts.lab.paced import PacedLoop

SPEEDS = (1, 2, 5, 10)

_PAGE = Path(__file__).parent / "page"
_FILES = {"/": "index.html", "/lab.css": "lab.css", "/lab.js": "lab.js", "/draw.js": "draw.js"}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}
_KEEP_ALIVE_S = 15.0


class Switches(Protocol):
    async def play(self, name: str, /) -> None: ...

    async def idle(self) -> None: ...


class Page:
    """`director` plays the incidents. `addresses` are those of the service and the mock API."""

    def __init__(self, bus: Bus, director: Switches, addresses: Event) -> None:
        self._bus = bus
        self._director = director
        self._addresses = addresses

    def application(self) -> Starlette:
        return Starlette(
            routes=[
                *(Route(path, self.file, methods=["GET"]) for path in _FILES),
                Route("/events", self.events, methods=["GET"]),
                Route("/play/{name}", self.play, methods=["POST"]),
                Route("/stop", self.stop, methods=["POST"]),
                Route("/speed/{speed:int}", self.speed, methods=["POST"]),
            ],
            middleware=[
                Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
            ],
        )

    async def file(self, request: Request) -> Response:
        path = _PAGE / _FILES[request.url.path]
        return Response(path.read_bytes(), headers=_HEADERS, media_type=_TYPES[path.suffix])

    async def events(self, _: Request) -> Response:
        return StreamingResponse(
            self._frames(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def play(self, request: Request) -> Response:
        name = request.path_params["name"]
        if _is_foreign(request) or name not in names():
            return _refused(f"there is no incident {name}")
        try:
            await self._director.play(name)
        except (ValidationError, ValueError) as error:
            return _refused(str(error))
        return JSONResponse({})

    async def stop(self, request: Request) -> Response:
        if _is_foreign(request):
            return _refused("another origin")
        await self._director.idle()
        return JSONResponse({})

    async def speed(self, request: Request) -> Response:
        speed = request.path_params["speed"]
        loop = asyncio.get_running_loop()
        if _is_foreign(request) or speed not in SPEEDS or not isinstance(loop, PacedLoop):
            return _refused(f"the speed is one of: {', '.join(map(str, SPEEDS))}")
        loop.speed = speed
        self._bus.publish(_speed())
        return JSONResponse({})

    async def _frames(self) -> AsyncGenerator[bytes, None]:
        hello: Event = {"kind": "hello", "incidents": catalogue(), "speeds": SPEEDS}
        with self._bus.open() as events:
            yield _frame([hello | self._addresses, _speed()])
            while (batch := await _next(events)) is not None:
                yield _frame(batch) if batch else b": still here\n\n"


async def _next(events: "asyncio.Queue[Event | None]") -> list[Event] | None:
    """All waiting events, nothing after a silence, or `None` at the end of the lab."""
    try:
        async with asyncio.timeout(_KEEP_ALIVE_S):
            batch = [await events.get()]
    except TimeoutError:
        return []
    while not events.empty():
        batch.append(events.get_nowait())
    known = [event for event in batch if event is not None]
    return known if len(known) == len(batch) else None


def _frame(events: Sequence[Event]) -> bytes:
    return b"data: " + orjson.dumps(events) + b"\n\n"


def _speed() -> Event:
    return {"kind": "speed", "speed": getattr(asyncio.get_running_loop(), "speed", 1.0)}


def _is_foreign(request: Request) -> bool:
    """A page of another origin may send a POST; it must not restart the service of this lab."""
    origin = request.headers.get("origin")
    return origin is not None and origin != f"http://{request.headers['host']}"


def _refused(why: str) -> Response:
    return JSONResponse({"why": why}, status_code=422)
