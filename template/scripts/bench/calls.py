"""Counts the Python calls of one `POST /v1/chat`, libraries included, over a real connection.

Every function of Python that is entered counts, and every time a coroutine or generator goes on; functions
in C do not. Times differ between machines and runs, and this count does not. `uvloop` is what
`python -m app` runs on; asyncio's own loop is Python code, so its calls count too.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, MutableMapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvloop
from starlette.types import ASGIApp

from app.llm.transports.pool import TransportName
from app.main import create_app
from app.settings import Settings
from app.testing import captured_logs
from scripts.bench.figure import Figure
from scripts.bench.telemetry import running

Calls = Counter[str]  # by the name of the package
Run = Callable[[Coroutine[Any, Any, Calls]], Calls]

_WARM_UP = 3  # the first requests import, compile and connect
_LEAST = 10  # packages with fewer calls are counted in the sum only
_RUNS: dict[str, tuple[Run, TransportName]] = {
    "uvloop, aiohttp": (uvloop.run, "aiohttp"),
    "asyncio, aiohttp": (asyncio.run, "aiohttp"),
    "asyncio, httpx2": (asyncio.run, "httpx2"),
}

# Python 3.11 calls a comprehension as a function; later versions do not.
_INLINED_SINCE_312 = ("<listcomp>", "<dictcomp>", "<setcomp>")


def calls_of_a_request() -> Iterator[Figure]:
    with running("scripts.bench.upstream") as upstream:
        for name, (run, transport) in _RUNS.items():
            calls = run(calls_of_chat(f"{upstream}/v1", transport))
            yield Figure(f"{name}: all", calls.total(), "")
            for package, count in calls.most_common():
                if count >= _LEAST:
                    yield Figure(f"{name}: {package}", count, "")


async def calls_of_chat(base_url: str, transport: TransportName) -> Calls:
    """The calls of a request with the default settings, to a provider at this address."""
    settings = Settings(
        openai={"base_url": base_url},  # type: ignore[arg-type]  # as from the environment
        http_transport=transport,
        health_probe_interval_s=0,
    )
    service = create_app(settings)
    with captured_logs("INFO"):
        async with service.router.lifespan_context(service):
            for number in range(_WARM_UP):
                await _asked(service, f"Question {number}")
            with _counted() as calls:
                answer = await _asked(service, "Another question")
    if answer.get("cached") is not False:
        raise RuntimeError(f"not an answer of the provider: {answer}")
    return calls


@contextmanager
def _counted() -> Iterator[Calls]:
    calls: Calls = Counter()

    def count(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name not in _INLINED_SINCE_312:
            calls[frame.f_globals.get("__name__", "").partition(".")[0]] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def _asked(service: ASGIApp, question: str) -> dict[str, Any]:
    """Call the application as the server does, without the calls of an HTTP client for tests."""
    body = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
    bodies = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not bodies:
            await asyncio.Event().wait()  # the client stays connected
        return bodies.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await service(_scope(len(body)), receive, send)
    answer: dict[str, Any] = json.loads(b"".join([part.get("body", b"") for part in sent]))
    return answer


def _scope(length: int) -> dict[str, Any]:
    headers = [(b"host", b"service"), (b"content-type", b"application/json")]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/chat",
        "raw_path": b"/v1/chat",
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-length", b"%d" % length)],
        "client": ("127.0.0.1", 50000),
        "server": ("service", 80),
    }
