"""The open load of `make chaos`, against a server of bytes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress

import pytest

from scripts.chaos.client import Answer, Client
from scripts.chaos.kept import KeptConnections
from scripts.chaos.steady import Load, Tally, steady

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n0\r\n\r\n"
STREAM = CHUNKED % b"6\r\nevent:\r\n5\r\n done"

Question = dict[str, object]
Reply = Callable[[Question], Awaitable[bytes]]


class Server:
    """Sends the bytes of `reply` for each question, and counts connections: all, and the open ones."""

    def __init__(self, reply: Reply) -> None:
        self.connections = 0
        self.open = 0
        self._reply = reply

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]
                writer.write(await self._reply(json.loads(await reader.readexactly(int(length)))))
        except (EOFError, OSError):
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        finally:
            self.open -= 1


@asynccontextmanager
async def served(reply: Reply) -> AsyncIterator[tuple[Server, Client]]:
    server = Server(reply)
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        yield server, Client(*listening.sockets[0].getsockname())
        await until(lambda: server.open == 0)  # before Python 3.12.1, the server does not wait


async def at_once(question: Question) -> bytes:
    return STREAM if question["stream"] else WHOLE


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_true():  # noqa: ASYNC110 - of a server elsewhere
            await asyncio.sleep(0.005)


async def test_an_open_load_waits_for_no_answer_up_to_its_bound() -> None:
    arrived: list[Question] = []
    answers = asyncio.Event()

    async def reply(question: Question) -> bytes:
        arrived.append(question)
        await answers.wait()
        return await at_once(question)

    async with (
        served(reply) as (_, client),
        steady(client, Load(per_s=200, most_at_once=5)) as tally,
    ):
        await until(lambda: len(arrived) == 5)
        await asyncio.sleep(0.1)
        assert (tally.asked, len(arrived)) == (5, 5)
        answers.set()
        await until(lambda: tally.asked > 20)
    assert (tally.answered, tally.refused, tally.failed.total()) == (tally.asked, 0, 0)


async def test_a_load_keeps_to_its_rate() -> None:
    async with (
        served(at_once) as (_, client),
        steady(client, Load(per_s=50, most_at_once=100)) as tally,
    ):
        await until(lambda: tally.asked >= 20)
    assert 0 < tally.per_s <= 55
    assert tally.asked_s <= tally.lasted_s


async def test_each_question_is_a_new_one_for_the_next_provider() -> None:
    arrived: list[Question] = []

    async def reply(question: Question) -> bytes:
        arrived.append(question)
        return await at_once(question)

    async with (
        served(reply) as (_, client),
        steady(client, Load(200, 100, providers=("one", "two"))) as tally,
    ):
        await until(lambda: tally.asked >= 20)
    assert len({str(question["messages"]) for question in arrived}) == len(arrived)
    assert sorted(str(question["provider"]) for question in arrived[:2]) == ["one", "two"]


@pytest.mark.parametrize(
    ("answer", "is_streamed", "counted"),
    [
        pytest.param(Answer(200), False, (1, 0, {}), id="answered"),
        pytest.param(Answer(200, body=b"event: done"), True, (1, 0, {}), id="a whole stream"),
        pytest.param(Answer(200, body=b"event: error"), True, (0, 0, {0: 1}), id="a cut stream"),
        pytest.param(Answer(429, {"retry-after": "1"}), False, (0, 1, {}), id="refused"),
        pytest.param(Answer(429), False, (0, 0, {429: 1}), id="refused without a time"),
        pytest.param(Answer(502), False, (0, 0, {502: 1}), id="failed"),
        pytest.param(Answer(), False, (0, 0, {0: 1}), id="without an answer"),
    ],
)
def test_an_answer_is_counted_once(
    answer: Answer, *, is_streamed: bool, counted: tuple[int, int, dict[int, int]]
) -> None:
    tally = Tally()
    tally.count(answer, is_streamed=is_streamed)
    assert (tally.answered, tally.refused, dict(tally.failed)) == counted


@pytest.mark.parametrize(
    ("reply", "connections"),
    [pytest.param(WHOLE, 1, id="kept"), pytest.param(LAST, 3, id="closed by the server")],
)
async def test_a_connection_is_used_again_unless_the_server_closes_it(
    reply: bytes, connections: int
) -> None:
    async def always(_question: Question) -> bytes:
        return reply

    async with served(always) as (server, client):
        with closing(KeptConnections(client)) as kept:
            answers = [await kept.ask("/v1/chat", b"{}") for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert server.connections == connections


async def test_the_pieces_of_a_stream_are_one_body() -> None:
    async with served(at_once) as (_, client):
        with closing(KeptConnections(client)) as kept:
            answer = await kept.ask("/v1/chat", b'{"stream": true}')
    assert (answer.status, answer.body) == (200, b"event: done")


async def test_an_answer_that_ends_early_has_status_0() -> None:
    async def cut(_question: Question) -> bytes:
        raise EOFError

    async with served(cut) as (_, client):
        with closing(KeptConnections(client)) as kept:
            assert (await kept.ask("/v1/chat", b"{}")).status == 0
