"""A stop loses no request: readiness first, then the listener, then what runs."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable

import httpx2
import pytest

from app import http_server
from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import QUESTION, service_with, serving
from tests.server.sockets import PATIENCE_S, connected

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


def drop_by_hop_count(listener: socket.socket) -> None:
    http_server._set_least_hop_count(listener, 255)


# The second one is for kernels that do not allow the first.
DROPS = {"filter": http_server._drop_new_handshakes, "hop count": drop_by_hop_count}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient() as http:
        yield http


@pytest.mark.slow
async def test_a_stopping_service_is_not_ready_and_still_answers(
    client: httpx2.AsyncClient, model: FakeChatModel, logs: CapturedLogs
) -> None:
    async with serving(service_with(model), delay_s=3) as (server, url):
        assert (await client.get(f"{url}/readyz")).status_code == 200
        server.should_exit = True
        await asyncio.sleep(0.3)
        ready = await client.get(f"{url}/readyz")
        assert ready.status_code == 503
        assert ready.headers["content-type"] == "application/problem+json"
        assert (await client.get(f"{url}/healthz")).status_code == 200
        answer = await client.post(f"{url}/v1/chat", json=QUESTION)
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"  # the next request finds another instance
        assert len(logs.events("service.stopping")) == 1


async def test_without_requests_a_stop_takes_no_longer_than_its_delay(model: FakeChatModel) -> None:
    loop = asyncio.get_running_loop()
    async with serving(service_with(model), delay_s=0.5, drain_s=60) as (server, _):
        started = loop.time()
        server.should_exit = True
    assert 0.5 <= loop.time() - started < 15


async def test_a_request_that_has_begun_to_arrive_is_answered(model: FakeChatModel) -> None:
    async with serving(service_with(model)) as (server, url), connected(url) as client:
        await client.send(GET)
        await asyncio.sleep(0.1)
        server.should_exit = True
        await asyncio.sleep(0.3)
        await client.send(b"\r\n")
        assert (await client.answer()).status == 200


async def test_a_request_that_waits_in_the_kernel_at_the_stop_is_answered(
    model: FakeChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a new connection, and on one that was idle. The loop has no turn between it and the stop."""
    late: list[socket.socket] = []

    async def send_late(listeners: list[socket.socket]) -> None:
        late.append(socket.create_connection(listeners[0].getsockname()))
        for connection in late:
            connection.sendall(GET + b"\r\n")

    monkeypatch.setattr("app.http_server._accept_the_rest", send_late)
    async with serving(service_with(model), delay_s=0.1) as (server, url), connected(url) as idle:
        await idle.send(GET + b"\r\n")
        await idle.answer()
        late.append(socket.socket(fileno=os.dup(idle.writer.get_extra_info("socket").fileno())))
        server.should_exit = True
        assert (await idle.answer()).status == 200
        reader, writer = await asyncio.open_connection(sock=late[1])
        assert (await asyncio.wait_for(reader.read(), PATIENCE_S)).startswith(b"HTTP/1.1 200")
        writer.close()
        late[0].close()


@pytest.mark.skipif(sys.platform != "linux", reason="an option of Linux")
def test_a_listener_that_wants_more_hops_than_packets_have_takes_no_handshake() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        drop_by_hop_count(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(listener.getsockname(), timeout=0.2)
        assert http_server._take_each_hop_count(listener)
        assert not http_server._take_each_hop_count(listener)
        socket.create_connection(listener.getsockname(), timeout=5).close()


@pytest.mark.slow
@pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS)
async def test_no_request_is_lost_while_the_listener_closes(
    drop: Callable[[socket.socket], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection with a complete handshake is answered; a later one is refused, never reset."""
    monkeypatch.setattr(http_server, "_drop_new_handshakes", drop)
    for _ in range(5):
        outcomes: set[str] = set()
        async with serving(service_with(FakeChatModel()), delay_s=0.2) as (server, url):
            callers = [asyncio.create_task(_call_until_refused(url, outcomes)) for _ in range(10)]
            await asyncio.sleep(0.3)
            server.should_exit = True
            await asyncio.gather(*callers)
        assert outcomes <= {"200", "ConnectionRefusedError", "OSError"}


async def _call_until_refused(url: str, outcomes: set[str]) -> None:
    while True:
        try:
            async with connected(url) as client:
                await client.send(GET + b"Connection: close\r\n\r\n")
                outcomes.add(str((await client.answer()).status))
        except OSError as error:
            outcomes.add(type(error).__name__)
            return
