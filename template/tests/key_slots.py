"""The rule for keys of Redis, checked in every test that calls a fake or a real one.

A fake Redis accepts all keys, and a cluster only keys of one hash slot in one script, one transaction
and one command. So a script with keys of two slots would work until a team moves to a cluster.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.crc import key_slot

_SCRIPTS = {"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"}
_ALL_ARE_KEYS = {"DEL", "EXISTS", "MGET", "PFCOUNT", "SDIFF", "SINTER", "SUNION", "TOUCH", "UNLINK"}
_NO_KEYS = {"FLUSHALL", "FLUSHDB", "KEYS", "PING", "SCAN", "SCRIPT LOAD", "TIME"}


class KeysOfTwoSlotsError(AssertionError):
    """A Redis cluster refuses this script, transaction or command."""


def keys_of(command: tuple[Any, ...]) -> list[bytes]:
    name, *arguments = command
    if name in _SCRIPTS:
        found = arguments[2 : 2 + int(arguments[1])]
    elif name in _ALL_ARE_KEYS:
        found = arguments
    elif name == "MSET":
        found = arguments[::2]
    else:
        found = [] if name in _NO_KEYS else arguments[:1]
    return [key if isinstance(key, bytes) else str(key).encode() for key in found]


def check(commands: Iterable[tuple[Any, ...]]) -> None:
    keys = [key for command in commands for key in keys_of(command)]
    if len({key_slot(key) for key in keys}) > 1:
        raise KeysOfTwoSlotsError(f"make these keys with `tagged` and one tag: {keys}")


def patches() -> Iterator[tuple[type, str, Callable[..., Any]]]:
    """What to replace in redis-py: each class, its method, and the method that checks first."""
    execute, transact = Redis.execute_command, Pipeline._execute_transaction

    async def execute_command(self: Redis, *command: Any, **options: Any) -> Any:
        check([command])
        return await execute(self, *command, **options)  # type: ignore[no-untyped-call]

    async def execute_transaction(
        self: Pipeline, connection: Any, commands: Any, *more: Any
    ) -> Any:
        check(command for command, _options in commands)
        return await transact(self, connection, commands, *more)

    yield Redis, "execute_command", execute_command
    yield Pipeline, "_execute_transaction", execute_transaction
