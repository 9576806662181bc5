"""A connection of the pool: why it failed, and whether it still works when it is used again."""

import select
import time
from collections.abc import Mapping
from typing import Any

from psycopg import AsyncConnection, OperationalError, errors
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from app.rag.shared.postgres.vector import Vector, VectorDumper

# A network may drop a connection without a word, but not one that was used a moment ago.
_FRESH_S = 10.0


class Connection(AsyncConnection[TupleRow]):
    """`used_at`: when the pool got it back, in monotonic time; 0 if it never did."""

    used_at = 0.0

    @classmethod
    async def connect(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as psycopg's
        connection = await super().connect(*args, **kwargs)
        connection.adapters.register_dumper(Vector, VectorDumper)
        return connection


class Refused:
    """The last error of a connection: the pool itself only tells that there was none in time."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def connection_class(self) -> type[Connection]:
        refused = self

        class Noted(Connection):
            @classmethod
            async def connect(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as psycopg's
                try:
                    connection = await super().connect(*args, **kwargs)
                except OperationalError as error:
                    refused.error = error
                    raise
                refused.error = None
                return connection

        return Noted


async def note_use(connection: Connection) -> None:
    connection.used_at = time.monotonic()


async def check(connection: Connection) -> None:
    """Try a connection that may be dead. To try each one is a round trip before each search.

    After a restart of Postgres all are dead, and can be read: the end of the stream has arrived.
    """
    is_fresh = time.monotonic() - connection.used_at < _FRESH_S
    if not is_fresh or _can_be_read(connection):
        await AsyncConnectionPool.check_connection(connection)


def _can_be_read(connection: Connection) -> bool:
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return bool(poll.poll(0))


# By the first characters of the SQL state. Source: Postgres' documentation, appendix A.
_STATES: Mapping[str, str] = {
    "28": "credentials refused",
    "3D": "no such database",
    "53100": "disk full",
    "53300": "too many connections",
    "57014": "no answer in time",
    "57P0": "starting or stopping",
    "40": "conflict",
}
# libpq has no state for errors before Postgres answers, only a message.
_MESSAGES: Mapping[str, str] = {
    "certificate": "certificate refused",
    "SSL": "no TLS",
    "password authentication failed": "credentials refused",
    "no password supplied": "credentials refused",
    "does not exist": "no such database or role",
    "too many clients": "too many connections",
    "starting up": "starting or stopping",
    "shutting down": "starting or stopping",
    "no pg_hba.conf entry": "not permitted",
}


def reason(error: Exception) -> str:
    """Why Postgres cannot be used, in a word for the log."""
    if isinstance(error, OperationalError) and error.sqlstate is not None:
        return next(
            (why for state, why in _STATES.items() if error.sqlstate.startswith(state)), "failed"
        )
    if isinstance(error, TimeoutError | errors.ConnectionTimeout):
        return "no answer in time"
    said = str(error)
    return next((why for words, why in _MESSAGES.items() if words in said), "no connection")
