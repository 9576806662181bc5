"""Requests and connections of both transports."""

import asyncio
from contextlib import suppress

import pytest

from app.errors import ProviderConnectionError, RequestRefusedError
from app.llm.exchange import Exchange
from app.llm.http import HTTPPolicy, open_connections
from app.llm.transports.pool import TransportName
from tests.llm.loopback import Reply, loopback, resets, sends
from tests.llm.raw_answers import BODY, LENGTH, OK, WHOLE, outcome


async def request_head(name: TransportName) -> list[bytes]:
    async with loopback(sends(WHOLE)) as server:
        await outcome(server, HTTPPolicy(transport=name))
        head = server.requests[0].partition(b"\r\n\r\n")[0]
        return sorted(line for line in head.split(b"\r\n") if not line.startswith(b"Host:"))


async def test_both_libraries_send_the_same_request() -> None:
    head = await request_head("aiohttp")
    assert head == await request_head("httpx2")
    assert [line.partition(b":")[0] for line in head] == [
        *(b"Accept-Encoding", b"Accept", b"Connection", b"Content-Length", b"Content-Type"),
        *(b"POST /v1/x HTTP/1.1", b"User-Agent"),
    ]


@pytest.mark.usefixtures("each_transport")
async def test_a_request_of_three_megabytes_arrives_whole() -> None:
    async with (
        loopback(sends(WHOLE)) as server,
        open_connections(HTTPPolicy()) as connections,
    ):
        http = connections.to("openai", server.base_url, {}, lambda _: None)
        with Exchange() as exchange:
            await http.post_json("/x", {"text": "x" * 3_000_000}, exchange)
        assert len(server.requests[0].partition(b"\r\n\r\n")[2]) == 3_000_011


@pytest.mark.usefixtures("each_transport")
async def test_a_refusal_before_the_end_of_the_request_is_read() -> None:
    ended = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        with suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        async with open_connections(HTTPPolicy(request_timeout_s=5)) as connections:
            http = connections.to("openai", address, {}, lambda _: None)
            with pytest.raises(RequestRefusedError), Exchange() as exchange:
                await http.post_json("/x", {"text": "x" * 8_000_000}, exchange)
        await asyncio.wait_for(ended.wait(), 5)


@pytest.mark.usefixtures("each_transport")
async def test_connections_that_the_server_closes_are_not_used_again() -> None:
    async with loopback(sends(WHOLE)) as server, open_connections(HTTPPolicy()) as connections:
        http = connections.to("openai", server.base_url, {}, lambda _: None)
        for _ in range(20):
            with Exchange() as exchange:
                assert await http.post_json("/x", {}, exchange) == BODY
        assert server.connections == 20


def second_request_gets(piece: bytes) -> Reply:
    """Each connection answers its first request whole. After the second it sends a piece and resets."""
    known: set[asyncio.StreamWriter] = set()

    async def reply(writer: asyncio.StreamWriter) -> None:
        if writer not in known:
            known.add(writer)
            writer.write(WHOLE)
        else:
            writer.write(piece)
            await writer.drain()
            writer.transport.abort() if not piece else writer.close()

    return reply


async def test_a_request_that_meets_a_closing_connection_is_sent_on_another_one() -> None:
    async with (
        loopback(second_request_gets(b"")) as server,
        open_connections(HTTPPolicy()) as connections,
    ):
        http = connections.to("openai", server.base_url, {}, lambda _: None)
        for _ in range(3):
            with Exchange() as exchange:
                assert await http.post_json("/x", {}, exchange) == BODY
        assert (server.connections, len(server.requests)) == (3, 5)


async def test_a_request_is_not_sent_again_after_a_part_of_its_answer() -> None:
    async with (
        loopback(second_request_gets(OK)) as server,
        open_connections(HTTPPolicy()) as connections,
    ):
        http = connections.to("openai", server.base_url, {}, lambda _: None)
        with Exchange() as exchange:
            assert await http.post_json("/x", {}, exchange) == BODY
        with Exchange() as exchange, pytest.raises(ProviderConnectionError):
            await http.post_json("/x", {}, exchange)
        assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_request_is_not_sent_again_if_its_connection_is_new() -> None:
    async with loopback(resets) as server:
        assert await outcome(server, HTTPPolicy()) is ProviderConnectionError
        assert (server.connections, len(server.requests)) == (1, 1)


@pytest.mark.usefixtures("each_transport")
async def test_cookies_are_not_kept() -> None:
    answer = OK + LENGTH + b"Set-Cookie: a=1; Path=/\r\n\r\n" + BODY
    async with (
        loopback(sends(answer, hang_up=False)) as server,
        open_connections(HTTPPolicy()) as connections,
    ):
        http = connections.to("openai", server.base_url, {}, lambda _: None)
        for _ in range(2):
            with Exchange() as exchange:
                await http.post_json("/x", {}, exchange)
        assert server.connections == 1
        assert b"ookie" not in server.requests[1]


@pytest.mark.usefixtures("each_transport")
async def test_credentials_in_an_address_are_sent_as_a_header() -> None:
    async with loopback(sends(WHOLE)) as server, open_connections(HTTPPolicy()) as connections:
        address = server.base_url.replace("://", "://user:pass%40word@")
        http = connections.to("openai", address, {"Authorization": "Bearer x"}, lambda _: None)
        with Exchange() as exchange:
            await http.post_json("/x", {}, exchange)
        assert b"uthorization: Basic dXNlcjpwYXNzQHdvcmQ=\r\n" in server.requests[0]
        assert b"Bearer" not in server.requests[0]


@pytest.mark.usefixtures("each_transport")
async def test_an_address_of_ipv6_is_called() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(WHOLE)
        writer.close()

    server = await asyncio.start_server(answer, "::1", 0)
    address = f"http://[::1]:{server.sockets[0].getsockname()[1]}"
    async with server, open_connections(HTTPPolicy()) as connections:
        http = connections.to("openai", address, {}, lambda _: None)
        assert await http.get("/models") == BODY
