"""Fifty clients at once that open a stream and do not read it, or a few bytes now and then."""

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import aiohttp
import orjson
import pytest
from aiohttp import web

from tests.running_service import QUESTION, STREAMED
from tests.server.test_overload import started
from tests.test_main import PATIENCE_S, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(4 * PATIENCE_S),
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="the memory is read from /proc"),
]

READERS = 50
FREE = 10  # connections to the provider for the other clients
LATENCY_S = 0.2
SEND_TIMEOUT_S = 5.0
# The buffers of a stream take 0.6 MB. Without backpressure it was 3 MB in a few seconds.
MB_PER_READER = 1.5

# `python -m app`, with a shorter time than the constant of 30 s.
PROGRAM = f"""
import runpy
from app.http_protocol import HTTPProtocol
HTTPProtocol.send_timeout_s = {SEND_TIMEOUT_S}
runpy.run_module("app", run_name="__main__")
"""
WHOLE = {
    "model": "m",
    "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}
CHUNK = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"x" * 10_000)


@dataclass
class Provider:
    """Streams without end, and answers anything else after `LATENCY_S`."""

    url: str = ""
    opened: int = 0
    streams: int = 0  # those that are open
    most_streams: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if not (await request.json()).get("stream"):
            await asyncio.sleep(LATENCY_S)
            return web.json_response(WHOLE)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        self.opened += 1
        self.streams += 1
        self.most_streams = max(self.streams, self.most_streams)
        try:
            with suppress(ConnectionError):
                while True:
                    await response.write(CHUNK)
                    await asyncio.sleep(0)  # a fast reader must not keep this loop
        finally:
            self.streams -= 1
        return response


@asynccontextmanager
async def provider(port: int) -> AsyncIterator[Provider]:
    found = Provider(f"http://127.0.0.1:{port}/v1")
    application = web.Application()
    application.router.add_post("/v1/chat/completions", found.answer)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield found
    await runner.cleanup()


async def slow_reader(port: int, *, every_s: float | None) -> None:
    """Open a stream with the smallest buffer. Read 256 bytes in each interval; `None`: read nothing."""
    loop, body = asyncio.get_running_loop(), orjson.dumps(STREAMED)
    head = b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.socket() as connection:
        connection.settimeout(0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        await loop.sock_sendall(connection, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        if every_s is None:
            await asyncio.sleep(PATIENCE_S)
            return
        with suppress(ConnectionError):
            while await loop.sock_recv(connection, 256):  # noqa: ASYNC110 - it is slow on purpose
                await asyncio.sleep(every_s)


async def ask(http: aiohttp.ClientSession) -> float:
    """The seconds that an answer takes."""
    began = time.perf_counter()
    async with http.post("/v1/chat", json=QUESTION) as answer:
        assert answer.status == 200, await answer.text()
        await answer.read()
    return time.perf_counter() - began


def memory_mb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) // 1024


async def test_fifty_slow_readers_cost_little_memory_slow_down_no_client_and_are_cut(
    unused_tcp_port_factory: Callable[[], int],
) -> None:
    port = unused_tcp_port_factory()
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(provider(unused_tcp_port_factory()))
        process = running(
            program=PROGRAM,
            PORT=str(port),
            LLM_PROVIDERS="openai",
            OPENAI_BASE_URL=upstream.url,
            MAX_CONCURRENCY=str(READERS + FREE),
            ENABLE_CACHING="false",
            RATE_LIMIT_REQUESTS_PER_MINUTE="1000000",
            LOG_LEVEL="ERROR",  # the log of the process is not read
        )
        pid = stack.enter_context(process).pid
        http = await stack.enter_async_context(
            aiohttp.ClientSession(
                f"http://127.0.0.1:{port}", connector=aiohttp.TCPConnector(limit=0)
            )
        )
        await started(http)
        await asyncio.gather(*(ask(http) for _ in range(READERS + FREE)))
        usual_s = median([await ask(http) for _ in range(5)])
        calm_mb = memory_mb(pid)

        readers = [
            asyncio.create_task(slow_reader(port, every_s=None if number % 2 else 0.1))
            for number in range(READERS)
        ]
        during_s, most_mb = [], 0
        async with asyncio.timeout(PATIENCE_S):
            while upstream.opened < READERS or upstream.streams:
                during_s.append(await ask(http))
                most_mb = max(most_mb, memory_mb(pid))
        after_s = await asyncio.gather(*(ask(http) for _ in range(READERS + FREE)))
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    assert upstream.most_streams > READERS / 2
    assert len(during_s) >= 3
    assert median(during_s) < 2 * usual_s
    assert most_mb - calm_mb < READERS * MB_PER_READER
    assert len(after_s) == READERS + FREE  # each connection to the provider is free again
