"""The count of bytes, compared with those that redis-py itself would send."""

import pytest
from redis.asyncio import Connection

from scripts.simulate.wire import Traffic, command_bytes, reply_bytes


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("GET", "app:cache:é"), id="characters of several bytes"),
        pytest.param(("SET", "app:cache:1", b"x" * 1000, "PX", 86_400_000), id="bytes and numbers"),
        pytest.param(("SCRIPT LOAD", "return 1"), id="a name of two words"),
        pytest.param(("ZADD", "limit", 1.5, "full"), id="a fraction"),
    ],
)
def test_a_command_has_as_many_bytes_as_redis_py_sends(
    command: tuple[str | bytes | int | float, ...],
) -> None:
    packed = b"".join(map(bytes, Connection().pack_command(*command)))
    assert command_bytes(command) == len(packed)


@pytest.mark.parametrize(
    ("reply", "sent"),
    [
        pytest.param(None, b"_\r\n", id="nothing"),
        pytest.param(True, b"+OK\r\n", id="ok"),
        pytest.param(1234, b":1234\r\n", id="a number"),
        pytest.param(b"x" * 12, b"$12\r\nxxxxxxxxxxxx\r\n", id="bytes"),
        pytest.param([b"a", 1], b"*2\r\n$1\r\na\r\n:1\r\n", id="a list"),
    ],
)
def test_a_reply_has_as_many_bytes_as_in_the_protocol(reply: object, sent: bytes) -> None:
    assert reply_bytes(reply) == len(sent)


def test_a_command_and_its_reply_are_one_round_trip() -> None:
    traffic = Traffic()
    traffic.sent(("GET", "a"))
    traffic.received(b"b")
    assert (traffic.round_trips, traffic.sent_bytes, traffic.received_bytes) == (1, 20, 7)
