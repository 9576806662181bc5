"""Requests that are too large, too slow, too many or wrong, at a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx2
import pytest

from app.connections import Connections
from app.http_protocol import MAX_HEAD_BYTES, HTTPProtocol
from app.testing import CapturedLogs, FakeChatModel
from tests.running_service import QUESTION, STREAMED, events_of, service_with, serving
from tests.server.sockets import PATIENCE_S, connected

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"


class Hasty(HTTPProtocol):
    head_timeout_s = 0.2
    body_timeout_s = 0.3


@pytest.fixture
async def url(model: FakeChatModel) -> AsyncIterator[str]:
    async with serving(service_with(model), protocol=Hasty) as (_, address):
        yield address


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET + b"a: b\r\n" * 20_000, id="many headers"),
        pytest.param(GET + b"a: " + b"b" * 400_000, id="one header without an end"),
        pytest.param(GET + b"a" * 400_000, id="a name without an end"),
        pytest.param(GET + b"a: " + b"b" * MAX_HEAD_BYTES + b"\r\n\r\n", id="one header"),
        pytest.param(b"GET /" + b"a" * 400_000, id="an address without an end"),
        pytest.param(b"\r\n" * 200_000, id="line ends"),
        pytest.param(CHUNKED + b"0\r\n" + b"a: b\r\n" * 80_000, id="many trailers"),
        pytest.param(CHUNKED + b"0\r\na: " + b"b" * 400_000, id="one trailer without an end"),
        pytest.param(CHUNKED + b"2;" + b"b" * 400_000, id="a chunk extension without an end"),
    ],
)
async def test_a_head_of_more_than_64_kb_is_refused_and_closed(url: str, head: bytes) -> None:
    async with connected(url) as client:
        await client.send(head)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (431, "close")
        assert answer.is_problem()
        assert await client.closed() == b""


async def test_a_head_of_less_than_64_kb_is_answered(url: str) -> None:
    async with connected(url) as client:
        await client.send(GET + b"a: " + b"b" * (MAX_HEAD_BYTES - 100) + b"\r\n\r\n")
        assert (await client.answer()).status == 200


@pytest.mark.parametrize(
    ("head", "piece", "part"),
    [
        pytest.param(GET, b"a", "head", id="a head that drips"),
        pytest.param(b"G", b"", "head", id="one byte of a head"),
        pytest.param(POST + b"Content-Length: 1000\r\n\r\n", b" ", "body", id="a body that drips"),
        pytest.param(POST + b"Content-Length: 1000\r\n\r\n", b"", "body", id="no body"),
        pytest.param(CHUNKED, b"1\r\n \r\n", "body", id="chunks that drip"),
    ],
)
async def test_a_request_that_takes_too_long_is_refused(
    url: str, head: bytes, piece: bytes, part: str
) -> None:
    async with connected(url) as client:
        await client.send(head)
        dripping = asyncio.create_task(client.drip(piece, every_s=0.02))
        answer = await client.answer()
        assert answer.status == 408
        assert answer.is_problem()
        assert part.encode() in answer.body
        await asyncio.wait_for(asyncio.gather(dripping, return_exceptions=True), PATIENCE_S)


@pytest.mark.parametrize("junk", [b"", b"\r\n"], ids=["nothing", "a line end"])
async def test_a_connection_without_a_request_is_closed_without_an_answer(
    url: str, junk: bytes
) -> None:
    async with connected(url) as client:
        await client.send(junk)
        assert await client.closed() == b""


async def test_a_body_that_goes_on_after_its_refusal_gets_one_answer(url: str) -> None:
    async with connected(url) as client:
        await client.send(POST + b"Content-Length: 10000000\r\n\r\n")
        assert (await client.answer()).status == 413
        assert await client.closed() == b""


@pytest.mark.slow
async def test_a_slow_answer_has_no_deadline() -> None:
    async def wait() -> None:
        await asyncio.sleep(3 * Hasty.body_timeout_s)

    model = FakeChatModel(["Hel", wait, "lo"])
    async with (
        serving(service_with(model), protocol=Hasty) as (_, address),
        httpx2.AsyncClient(base_url=address) as client,
    ):
        answer = await client.post("/v1/chat", json=STREAMED)
    assert [name for name, _ in events_of(answer.text)] == ["delta", "delta", "done"]


@pytest.mark.slow
async def test_an_idle_connection_is_kept_for_as_long_as_is_set(model: FakeChatModel) -> None:
    app = service_with(model)
    async with (
        serving(app, protocol=Hasty, keep_alive_s=1) as (_, address),
        connected(address) as client,
    ):
        for pause_s in (0.0, 2 * Hasty.head_timeout_s):
            await asyncio.sleep(pause_s)
            await client.send(GET + b"\r\n")
            assert (await client.answer()).status == 200
        started = asyncio.get_running_loop().time()
        assert await client.closed() == b""
        assert asyncio.get_running_loop().time() - started > 0.9


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(GET + b"Host: y\r\n\r\n", 400, id="two hosts"),
        pytest.param(GET + b"Host: x\r\n\r\n", 400, id="the same host twice"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n\r\n", 400, id="no host"),
        pytest.param(b"GET /healthz HTTP/1.0\r\nHost: x\r\nHost: x\r\n\r\n", 400, id="1.0, two"),
        pytest.param(b"GET /healthz HTTP/1.0\r\n\r\n", 200, id="1.0, none"),
        pytest.param(b"\x16\x03\x01\x02\x00", 400, id="TLS"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, id="a bad chunk"),
    ],
)
async def test_a_request_that_is_wrong_is_refused(url: str, request_: bytes, status: int) -> None:
    async with connected(url) as client:
        await client.send(request_)
        answer = await client.answer()
        assert answer.status == status
        assert status == 200 or answer.is_problem()


async def test_a_refusal_has_the_id_of_the_request(url: str) -> None:
    async with connected(url) as client:
        await client.send(GET + b"X-Request-ID: mine\r\nHost: y\r\n\r\n")
        assert (await client.answer()).headers["x-request-id"] == "mine"


async def test_a_thousand_refusals_are_one_line(url: str, logs: CapturedLogs) -> None:
    for _ in range(50):
        async with connected(url) as client:
            await client.send(b"?\r\n\r\n")
            await client.closed()
    reasons = [line["reason"] for line in logs.events("http.refused")]
    assert len(reasons) <= 1  # none when another test has caused one in the same ten seconds
    assert logs.events("http.request") == []


async def test_a_wrong_request_behind_a_good_one_does_not_break_the_first_answer(url: str) -> None:
    async with connected(url) as client:
        await client.send(GET + b"\r\n" + b"?\r\n\r\n")
        assert (await client.answer()).status == 200
        assert await client.closed() == b""


async def test_pipelined_requests_are_answered_in_order_up_to_a_limit(url: str) -> None:
    async with connected(url) as client:
        await client.send((GET + b"\r\n") * 1_000)
        received = await client.closed()
    assert 2 <= received.count(b"HTTP/1.1 200 OK") <= 20


async def test_trailers_are_not_headers(url: str) -> None:
    async with connected(url) as client:
        await client.send(CHUNKED + b"0\r\nX-Request-ID: smuggled\r\n\r\n")
        assert (await client.answer()).headers["x-request-id"] != "smuggled"


async def test_a_request_for_an_upgrade_is_answered_without_it(url: str) -> None:
    async with connected(url) as client:
        await client.send(GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        assert (await client.answer()).status == 200


async def test_probes_are_answered_and_others_refused_when_every_connection_is_busy() -> None:
    model = FakeChatModel(["Hi", asyncio.Event().wait])
    places = Connections(total=2, per_address=2)
    async with (
        serving(service_with(model), places=places, drain_s=0) as (_, address),
        httpx2.AsyncClient(base_url=address) as http,
        http.stream("POST", "/v1/chat", json=STREAMED),
        http.stream("POST", "/v1/chat", json=STREAMED),
    ):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await http.get(path)).status_code == 200
        refusal = await http.post("/v1/chat", json=QUESTION)
        assert refusal.status_code == 503
        assert refusal.headers["retry-after"] == "1"
        assert refusal.headers["content-type"] == "application/problem+json"


async def test_idle_connections_lock_no_caller_out(model: FakeChatModel) -> None:
    places = Connections(total=20, per_address=20)
    async with AsyncExitStack() as stack:
        _, address = await stack.enter_async_context(serving(service_with(model), places=places))
        for _ in range(30):
            await stack.enter_async_context(connected(address))
        http = await stack.enter_async_context(httpx2.AsyncClient(base_url=address))
        assert (await http.post("/v1/chat", json=QUESTION)).status_code == 200
        assert (await http.get("/healthz")).status_code == 200


class Impatient(HTTPProtocol):
    send_timeout_s = 0.3


async def test_a_client_that_does_not_read_its_stream_is_disconnected_and_the_call_ends(
    logs: CapturedLogs,
) -> None:
    model = FakeChatModel(["x" * 10_000] * 100_000)
    body = json.dumps(STREAMED).encode()
    async with serving(service_with(model), protocol=Impatient) as (_, url):
        async with connected(url) as client:
            await client.send(POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
            async with asyncio.timeout(PATIENCE_S):
                while not (model.requests and model.open_streams == 0):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        assert logs.events("http.slow_reader")
        async with httpx2.AsyncClient(base_url=url) as other:
            assert (await other.get("/healthz")).status_code == 200


async def test_a_client_that_reads_slowly_gets_its_whole_stream(logs: CapturedLogs) -> None:
    model = FakeChatModel(["x" * 10_000] * 100)
    body = json.dumps(STREAMED).encode()
    async with (
        serving(service_with(model), protocol=Impatient) as (_, url),
        connected(url) as client,
    ):
        await client.send(POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        received = b""
        async with asyncio.timeout(PATIENCE_S):
            while not received.endswith(b"\r\n0\r\n\r\n"):
                received += await client.reader.read(65_536)
                await asyncio.sleep(0.005)
    assert received.count(b"event: delta") == 100
    assert not logs.events("http.slow_reader")


def test_a_head_has_10_s_and_a_body_30_s_and_a_reader_30_s() -> None:
    times_s = HTTPProtocol.head_timeout_s, HTTPProtocol.body_timeout_s, HTTPProtocol.send_timeout_s
    assert times_s == (10, 30, 30)
