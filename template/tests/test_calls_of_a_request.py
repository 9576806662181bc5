"""The number of all Python calls of one request, libraries included, over a real connection.

Time differs between machines and runs; this count does not, so it shows a change that makes each
request dearer before `make bench` does.
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
import uvloop

from app.llm.transports.pool import TransportName
from scripts.bench.calls import calls_of_chat
from tests.llm.loopback import whole
from tests.llm.samples import OPENAI

# What `python -m app` runs on: 682 in Python 3.13. The goal was 900.
MAX_CALLS_ON_UVLOOP = 740

# Upper bounds of today, on asyncio's own loop, for all supported versions of Python: their own libraries
# differ. Python 3.13 takes about 830 and 1640. Lower them when a request takes fewer.
MAX_CALLS: dict[str, int] = {"aiohttp": 920, "httpx2": 1800}


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


def test_a_chat_request_on_uvloop_stays_within_its_number_of_calls() -> None:
    with provider() as address:
        calls = uvloop.run(calls_of_chat(address, "aiohttp"))
    assert calls.total() <= MAX_CALLS_ON_UVLOOP, calls.most_common()


@pytest.mark.parametrize("transport", ["aiohttp", pytest.param("httpx2", marks=pytest.mark.slow)])
async def test_a_chat_request_stays_within_its_number_of_calls(transport: TransportName) -> None:
    with provider() as address:
        calls = await calls_of_chat(address, transport)
    assert calls.total() <= MAX_CALLS[transport], calls.most_common()
