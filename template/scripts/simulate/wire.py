"""The bytes of commands and replies in Redis' protocol (RESP 3), and their sum.

`tests/simulate/test_real_redis.py` compares them with the counters of a real Redis.
"""

from collections.abc import Sequence
from dataclasses import dataclass

_END = 2  # bytes of a line's end
_OK_BYTES = len(b"+OK\r\n")
_NULL_BYTES = len(b"_\r\n")


def command_bytes(command: Sequence[object]) -> int:
    """The name of a command may have two words: `SCRIPT LOAD`."""
    name, *arguments = command
    parts: list[object] = [*str(name).split(), *arguments]
    return _head(len(parts)) + sum(map(_bulk, parts))


def reply_bytes(reply: object) -> int:
    """`reply` is what redis-py returns. It returns `True` for `OK`."""
    if reply is None:
        return _NULL_BYTES
    if isinstance(reply, bool):
        return _OK_BYTES
    if isinstance(reply, int):
        return _head(reply)
    if isinstance(reply, list):
        return _head(len(reply)) + sum(map(reply_bytes, reply))
    return _bulk(reply)


def _head(number: int) -> int:
    """A line with a number, after the character of its type."""
    return 1 + len(str(number)) + _END


def _bulk(value: object) -> int:
    size = len(value if isinstance(value, bytes) else str(value).encode())
    return _head(size) + size + _END


@dataclass
class Traffic:
    """What went over the wire: a command and its reply are one round trip."""

    round_trips: int = 0
    sent_bytes: int = 0
    received_bytes: int = 0

    def sent(self, command: Sequence[object]) -> None:
        self.round_trips += 1
        self.sent_bytes += command_bytes(command)

    def received(self, reply: object) -> None:
        self.received_bytes += reply_bytes(reply)
