"""A connection of the pool: its last error, and whether it still works when it is used again."""

import select
import time
from typing import Any

from psycopg import AsyncConnection, OperationalError
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
