"""The number of all Python calls of one request, libraries included, over a real connection.

Time differs between machines and runs; this count does not, so it shows a change that makes each
request dearer before `make bench` does.
"""

import asyncio
import json
import socket
import sys
from collections import Counter
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import Any

import pytest

from app.main import create_app
from app.settings import Settings
from app.testing import captured_logs
from tests.llm.loopback import whole
from tests.llm.samples import OPENAI

# Upper bounds of today, for all supported versions of Python: their own libraries differ. Lower them
# when a request takes fewer.
MAX_CALLS = {"aiohttp": 1800, "httpx2": 2600}

# Python 3.11 calls a comprehension as a function; later versions do not.
_INLINED_SINCE_312 = ("<listcomp>", "<dictcomp>", "<setcomp>")


@contextmanager
def provider() -> Iterator[str]:
    """An upstream in another thread: its calls are not counted. It keeps its connection open."""
    answer = whole("application/json", OPENAI.body)

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            received = b""
            while data := connection.recv(65536):
                received += data
                if received.endswith(b"}"):  # the end of the JSON body
                    connection.sendall(answer)
                    received = b""

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        thread.join(5)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """The Python calls of this thread, by the name of the package."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and frame.f_code.co_name not in _INLINED_SINCE_312:
            calls[frame.f_globals.get("__name__", "").partition(".")[0]] += 1

    sys.setprofile(count)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def asked(service: Any, question: str) -> dict[str, Any]:
    """Call the application as the server does, without the calls of an HTTP client for tests."""
    body = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
    headers = [(b"host", b"service"), (b"content-type", b"application/json")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/chat",
        "raw_path": b"/v1/chat",
        "query_string": b"",
        "root_path": "",
        "headers": [*headers, (b"content-length", b"%d" % len(body))],
        "client": ("127.0.0.1", 50000),
        "server": ("service", 80),
    }
    sent: list[MutableMapping[str, Any]] = []

    bodies = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not bodies:
            await asyncio.Event().wait()  # the client stays connected
        return bodies.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await service(scope, receive, send)
    answer: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in sent))
    return answer


@pytest.mark.parametrize("transport", ["aiohttp", pytest.param("httpx2", marks=pytest.mark.slow)])
async def test_a_chat_request_stays_within_its_number_of_calls(transport: str) -> None:
    with provider() as address:
        settings = Settings(
            openai={"base_url": address},  # type: ignore[arg-type]  # as from the environment
            http_transport=transport,  # type: ignore[arg-type]
            health_probe_interval_s=0,
        )
        service = create_app(settings)
        async with service.router.lifespan_context(service):
            for number in range(3):  # first calls import, compile and connect
                await asked(service, f"Question {number}")
            with captured_logs("INFO"), counted() as calls:
                answer = await asked(service, "Another question")
    assert answer["cached"] is False
    assert calls.total() <= MAX_CALLS[transport], calls.most_common()
