"""The Postgres connections of the documents, with one guard around them.

A call waits at most `timeout_s` for a connection, and as long for the answer. The first failure
begins an outage: until Postgres has worked again for three seconds, questions are refused at once.
A pooler in transaction mode (PgBouncer) may stand in front: nothing here lives longer than a transaction.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from math import ceil
from typing import Any, NoReturn, TypeVar

import structlog
from psycopg import DatabaseError, OperationalError, errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from app.errors import DocumentsNotReadyError
from app.rag.shared.postgres.connection import Connection, Refused, check, note_use, reason
from app.resilience.outage import Outage
from app.resilience.race import cancel_and_wait

_log = structlog.get_logger(__name__)

T = TypeVar("T")
Ask = Callable[[Connection], Awaitable[T]]

# An outage lasts for three seconds at least.
_TRY_AGAIN_S = 3.0
# A connection without use for so long is closed.
_IDLE_S = 300.0
_APPLICATION = "documents"


@asynccontextmanager
async def open_postgres(url: str, *, pool_size: int, timeout_s: float) -> AsyncIterator["Postgres"]:
    """A pool of connections, which are opened when they are needed."""
    # The guard logs an outage once; psycopg would log each attempt.
    for name in ("psycopg", "psycopg.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    refused = Refused()
    pool = AsyncConnectionPool(
        url,
        connection_class=refused.connection_class(),
        kwargs={
            "autocommit": True,
            "prepare_threshold": None,  # a pooler may give the next statement to another session
            "connect_timeout": max(2, ceil(timeout_s)),
            "tcp_user_timeout": ceil(timeout_s * 1000),
            "application_name": _APPLICATION,
            "client_encoding": "UTF8",  # else texts of a database without an encoding are bytes
        },
        min_size=0,
        max_size=pool_size,
        timeout=timeout_s,
        reconnect_timeout=timeout_s,
        max_idle=_IDLE_S,
        check=check,
        reset=note_use,
        open=False,
    )
    async with pool, aclosing(Postgres(pool, timeout_s=timeout_s, refused=refused)) as postgres:
        yield postgres


class Postgres:
    """Calls Postgres. Each call raises `DocumentsNotReadyError` if it fails. Close it."""

    def __init__(
        self,
        pool: AsyncConnectionPool[Connection],
        *,
        timeout_s: float,
        refused: Refused,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._pool = pool
        self._limit_s = 2 * timeout_s
        self._refused = refused
        self._outage = Outage(
            self._probe, on_begin=self._log_outage, on_end=_log_end, clock=clock, sleep=sleep
        )
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def is_available(self) -> bool:
        return await self._outage.check()

    async def run(self, ask: Ask[T], *, has_time: bool = False) -> T:
        """The answer of a call. `has_time`: it may take minutes, as building an index does."""
        if self._outage.is_on:
            raise _not_available()
        return await self._try(ask, None if has_time else self._limit_s)

    async def aclose(self) -> None:
        await self._outage.aclose()
        await cancel_and_wait(self._abandoned)

    async def _try(self, ask: Ask[T], timeout_s: float | None) -> T:
        try:
            return await self._in_time(self._asked(ask), timeout_s)
        except (OperationalError, OSError) as error:  # a timeout is one of the latter
            self._outage.failed(error)
            raise _not_available() from error
        except errors.UndefinedTable:
            raise
        except DatabaseError as error:
            _refuse(error)

    async def _asked(self, ask: Ask[T]) -> T:
        async with self._pool.connection() as connection:
            return await ask(connection)

    async def _in_time(self, asking: Coroutine[Any, Any, T], timeout_s: float | None) -> T:
        """The answer, or a `TimeoutError`. A call that is given up ends in the background.

        A server that does not answer a statement does not answer its cancellation either.
        """
        task = asyncio.create_task(asking)
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        finally:
            if not task.done():
                self._abandoned.add(task)
                task.add_done_callback(self._forget)
                task.cancel()
        if not done:
            raise TimeoutError
        return task.result()

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio logs that it never was

    def _log_outage(self, error: Exception) -> None:
        why = self._reason(error)
        _log.warning("postgres.unavailable", error=type(error).__name__, reason=why)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, PoolTimeout) and self._refused.error is not None:
            error = self._refused.error
        return reason(error)

    async def _probe(self) -> None:
        try:
            await self._try(_select_1, self._limit_s)
        except DocumentsNotReadyError:
            return  # reported


def _log_end(lasted_s: float) -> None:
    _log.info("postgres.recovered", lasted_s=lasted_s)


async def _select_1(connection: Connection) -> None:
    await connection.execute("SELECT 1")


def _not_available() -> DocumentsNotReadyError:
    return DocumentsNotReadyError(
        "Postgres, which keeps the index of the documents, does not answer.",
        retry_after_s=_TRY_AGAIN_S,
    )


def _refuse(error: DatabaseError) -> NoReturn:
    """Postgres works, and refuses the statement: for example, the role may not create a table."""
    _log.warning("postgres.refused", error=type(error).__name__, reason=error.diag.message_primary)
    raise DocumentsNotReadyError(
        "Postgres, which keeps the index of the documents, refuses a statement; the log has the reason.",
        retry_after_s=_TRY_AGAIN_S,
    ) from error
