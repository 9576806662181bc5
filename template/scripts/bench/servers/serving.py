"""Runs a program of `make bench` as the service is run: uvicorn, uvloop, httptools, no access log."""

import os
import time

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

UPSTREAM = os.environ.get("OPENAI_BASE_URL", "")


def serve(app: ASGIApp) -> None:
    async def measured(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/_cpu":
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.body", "body": b"%.9f" % time.process_time()})
        else:
            await app(scope, receive, send)

    port = int(os.environ["PORT"])
    uvicorn.run(measured, port=port, http="httptools", log_config=None, access_log=False)
