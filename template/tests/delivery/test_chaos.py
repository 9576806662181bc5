"""The parts of `make chaos` that need no container; its rows are tested by running them."""

import asyncio
import socket
import time
from collections import Counter

import pytest

from scripts.chaos.__main__ import GROUPS, parsed
from scripts.chaos.client import Client
from scripts.chaos.client import parsed as parsed_answer
from scripts.chaos.engine import host_of
from scripts.chaos.prober import probing
from scripts.chaos.replicas import limited, rate_for, reached
from scripts.chaos.row import Row
from scripts.chaos.steady import Tally


def test_groups_and_settings_are_selected() -> None:
    asked = parsed(["head", "memory", "--image=x", "--set=A=1"])
    assert (asked.groups, asked.set) == (["head", "memory"], ["A=1"])


@pytest.mark.parametrize("wrong", ["haed", "--set=A", "--rate=0", "--rate=-1", "--replicas=7"])
def test_a_wrong_argument_is_named(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(["--image=x", wrong])
    assert wrong.rsplit("=", maxsplit=1)[-1] in capsys.readouterr().err


def test_the_document_lists_every_group(request: pytest.FixtureRequest) -> None:
    document = (request.config.rootpath / "docs/chaos.md").read_text()
    assert [name for name in GROUPS if f"\n| `{name}` |" not in document] == []


def test_a_broken_row_stands_out() -> None:
    assert Row("sent", "limit", "measured", is_kept=False).line("head").endswith("BROKEN")


def tally(asked: int, answered: int, *, failed: int = 0) -> Tally:
    refused = asked - answered - failed
    return Tally(asked, answered, refused, Counter({502: failed}) if failed else Counter(), 10, 10)


@pytest.mark.parametrize(
    ("of", "verdict"),
    [
        pytest.param(tally(200, 105), "kept", id="as many answers as it allows"),
        pytest.param(tally(200, 106), "BROKEN", id="one too many"),
        pytest.param(tally(200, 105, failed=1), "BROKEN", id="one failed"),
        pytest.param(tally(105, 105), "not tested", id="no more questions than it allows"),
    ],
)
def test_a_limit_is_kept_only_if_more_was_asked(of: Tally, verdict: str) -> None:
    row = limited("no event", of, limit_per_s=10, bursts=5)
    assert row.line("replicas").endswith(verdict)


@pytest.mark.parametrize(
    ("asked", "per_s", "verdict"),
    [
        pytest.param(2000, 200, "kept", id="reached"),
        pytest.param(1000, 70, "not tested", id="half of it, and less is asked from then on"),
    ],
)
def test_a_rate_that_the_machine_does_not_reach_is_named(
    asked: int, per_s: float, verdict: str
) -> None:
    warm_up = tally(asked, asked)
    assert rate_for(warm_up, 200) == pytest.approx(per_s)
    row = reached(warm_up, 200, per_s)
    assert row.measured.startswith(f"{asked / 10:.0f} a second")
    assert row.line("replicas").endswith(verdict)


@pytest.mark.parametrize(
    ("docker_host", "host"),
    [
        ("", "127.0.0.1"),
        ("unix:///var/run/docker.sock", "127.0.0.1"),
        ("tcp://docker:2376", "docker"),
        ("ssh://ci@builder", "builder"),
    ],
)
def test_ports_are_at_the_host_of_the_engine(docker_host: str, host: str) -> None:
    assert host_of(docker_host) == host


def test_an_answer_is_a_problem_with_the_id_of_its_header() -> None:
    head = b"HTTP/1.1 431 Too large\r\nContent-Type: application/problem+json\r\nX-Request-ID: a"
    assert parsed_answer(head + b'\r\n\r\n{"request_id":"a"}').is_problem
    assert not parsed_answer(head + b'\r\n\r\n{"request_id":"b"}').is_problem
    assert not parsed_answer(b"HTTP/1.1 431 Too large\r\n\r\n{}").is_problem


@pytest.mark.parametrize("received", [b"", b"nonsense"])
def test_a_connection_without_an_answer_has_status_0(received: bytes) -> None:
    assert parsed_answer(received).status == 0


async def test_a_service_that_is_not_there_has_status_0(unused_tcp_port: int) -> None:
    assert (await Client("127.0.0.1", unused_tcp_port).get("/healthz")).status == 0


def test_the_prober_sees_how_long_a_probe_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with probing(Client(*listener.getsockname())) as prober:
            accepted, _ = listener.accept()
            accepted.recv(10_000)
            time.sleep(0.1)
            accepted.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"status":"ok"}')
            accepted.close()
        assert prober.longest_s >= 0.1
        assert prober.answered == 1


async def test_a_drip_ends_when_the_server_closes() -> None:
    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(close, "127.0.0.1", 0) as server:
        client = Client(*server.sockets[0].getsockname())
        async with asyncio.timeout(10), client.connected() as connection:
            await connection.drip(b"a", every_s=0.01)
