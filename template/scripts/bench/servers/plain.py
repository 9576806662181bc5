"""Starlette and aiohttp: JSON is read and written, and there are no guards, logs or metrics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from scripts.bench.servers.serving import UPSTREAM, serve

_URL = f"{UPSTREAM}/chat/completions"


async def chat(request: Request) -> Response:
    body = await request.json()
    session: aiohttp.ClientSession = request.app.state.session
    if body.get("stream"):
        return StreamingResponse(_pieces(session, body), media_type="text/event-stream")
    async with session.post(_URL, json=body) as answer:
        return JSONResponse(await answer.json())


async def _pieces(session: aiohttp.ClientSession, body: object) -> AsyncIterator[bytes]:
    async with session.post(_URL, json=body) as answer:
        async for piece in answer.content.iter_any():
            yield piece


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with aiohttp.ClientSession() as app.state.session:
        yield


app = Starlette(routes=[Route("/v1/chat", chat, methods=["POST"])], lifespan=lifespan)

if __name__ == "__main__":
    serve(app)
