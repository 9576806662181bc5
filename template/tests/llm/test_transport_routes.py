"""The way to a provider: names, TLS and proxies."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

import httpx2 as httpx
import pytest

from app.errors import (
    ProviderConnectionError,
    ProviderTimeoutError,
)
from app.llm import http as seam
from app.llm.http import HTTPPolicy, open_connections
from tests.certificates import self_signed
from tests.llm.loopback import loopback, sends
from tests.llm.raw_answers import BODY, WHOLE, outcome


@pytest.fixture
def _names_that_hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The name server of `….hangs.test` does not answer."""
    known, ended = socket.getaddrinfo, Event()

    def hang(host: str | bytes, *args: object, **more: object) -> object:
        name = host.decode() if isinstance(host, bytes) else host  # anyio gives bytes
        if name.endswith(".hangs.test"):
            ended.wait(20)
        return known(host, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    yield
    ended.set()


@pytest.mark.usefixtures("_names_that_hang", "each_transport")
async def test_names_that_hang_delay_no_other_provider() -> None:
    async with loopback(sends(WHOLE)) as server, open_connections(HTTPPolicy()) as connections:
        hanging = [
            connections.to(f"p{number}", f"http://p{number}.hangs.test", {}, lambda _: None)
            for number in range(40)  # the event loop has at most 32 threads for names
        ]
        calls = [asyncio.create_task(http.get("/models")) for http in hanging]
        await asyncio.sleep(0)
        address = server.base_url.replace("127.0.0.1", "localhost")
        well = connections.to("anthropic", address, {}, lambda _: None)
        async with asyncio.timeout(3):
            assert await well.get("/models") == BODY
        assert not any(call.done() for call in calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.usefixtures("_names_that_hang", "each_transport")
async def test_a_name_that_hangs_is_a_timeout_before_anything_is_sent() -> None:
    async with open_connections(HTTPPolicy(connect_timeout_s=0.05)) as connections:
        http = connections.to("openai", "http://p.hangs.test", {}, lambda _: None)
        with pytest.raises(ProviderTimeoutError, match="could not be reached in time") as raised:
            await http.get("/models")
        assert raised.value.nothing_sent


@asynccontextmanager
async def tls_server(certificate: Path) -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(WHOLE)
        await writer.drain()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def trust(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start as a new process does: this one has read its certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr(seam, "ssl_context", httpx.create_ssl_context)


@pytest.mark.usefixtures("each_transport")
async def test_a_server_with_a_certificate_of_ssl_cert_file_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path / "here.pem", "localhost")
    trust(certificate, monkeypatch)
    async with (
        tls_server(certificate) as port,
        open_connections(HTTPPolicy(request_timeout_s=5)) as connections,
    ):
        http = connections.to("openai", f"https://localhost:{port}", {}, lambda _: None)
        assert await http.get("/models") == BODY


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize("name", ["elsewhere.test", None], ids=["another name", "not trusted"])
async def test_a_server_that_cannot_prove_its_name_is_refused(
    name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path / "here.pem", name or "localhost")
    if name:
        trust(certificate, monkeypatch)
    async with (
        tls_server(certificate) as port,
        open_connections(HTTPPolicy(request_timeout_s=5)) as connections,
    ):
        http = connections.to("openai", f"https://localhost:{port}", {}, lambda _: None)
        with pytest.raises(ProviderConnectionError, match="could not be reached") as raised:
            await http.get("/models")
        assert raised.value.nothing_sent


@asynccontextmanager
async def tunnel(to_port: int, status: bytes = b"200 OK") -> AsyncIterator[tuple[int, list[bytes]]]:
    """A proxy that understands only CONNECT, and connects every name with one port."""
    heads: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
        if not status.startswith(b"200"):
            writer.close()
            return
        inner = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(pump(reader, inner[1]), pump(inner[0], writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], heads


@pytest.mark.usefixtures("each_transport")
async def test_https_goes_through_a_tunnel_of_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = self_signed(tmp_path / "here.pem", "provider.test")
    trust(certificate, monkeypatch)
    async with tls_server(certificate) as port, tunnel(port) as (proxy, heads):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass%40word@127.0.0.1:{proxy}")
        async with open_connections(HTTPPolicy(request_timeout_s=5)) as connections:
            key = {"Authorization": "Bearer secret"}
            http = connections.to("openai", "https://provider.test", key, lambda _: None)
            assert await http.get("/models") == BODY
    (head,) = heads
    assert head.startswith(b"CONNECT provider.test:443 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic dxnlcjpwyxnzqhdvcmq=\r\n" in head.lower()
    assert b"secret" not in head


@pytest.mark.usefixtures("each_transport")
async def test_a_proxy_that_refuses_is_a_failed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with tunnel(0, b"407 Proxy Authentication Required") as (proxy, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        async with open_connections(HTTPPolicy(request_timeout_s=5)) as connections:
            http = connections.to("openai", "https://provider.test", {}, lambda _: None)
            with pytest.raises(ProviderConnectionError, match="through the proxy") as raised:
                await http.get("/models")
            assert raised.value.nothing_sent


@pytest.mark.usefixtures("each_transport")
async def test_credentials_of_the_proxy_go_to_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with loopback(sends(WHOLE)) as proxy:
        address = proxy.base_url.replace("://", "://user:word@").removesuffix("/v1")
        monkeypatch.setenv("HTTP_PROXY", address)
        async with open_connections(HTTPPolicy()) as connections:
            http = connections.to("openai", "http://provider.test", {}, lambda _: None)
            assert await http.get("/models") == BODY
        (request,) = proxy.requests
    assert request.startswith(b"GET http://provider.test/models HTTP/1.1\r\n")
    assert b"proxy-authorization: basic dxnlcjp3b3jk\r\n" in request.lower()


@pytest.mark.usefixtures("each_transport")
@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("127.0.0.1", True),
        ("127.0.0.0/8", True),
        ("*", True),
        ("localhost", False),
        ("10.0.0.0/8", False),
        ("http://127.0.0.1", True),
        ("https://127.0.0.1", False),
    ],
)
async def test_no_proxy_is_honoured(
    no_proxy: str, monkeypatch: pytest.MonkeyPatch, *, direct: bool
) -> None:
    async with loopback(sends(WHOLE)) as server, loopback(sends(WHOLE)) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.base_url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", no_proxy)
        await outcome(server, HTTPPolicy())
        assert len(server.requests) == direct
        assert len(proxy.requests) == (not direct)
