"""The token of the process that builds the index, in a row that has an end.

An advisory lock of a session would need no renewal, but a pooler in transaction mode has no sessions.
"""

from typing import LiteralString

from psycopg import errors

from app.rag.shared.postgres.client import Postgres
from app.rag.shared.postgres.connection import Connection
from app.rag.shared.postgres.tables import create_tables

_TAKE = """
INSERT INTO documents_services AS held (service, lease, leased_until)
VALUES (%(service)s, %(token)s, clock_timestamp() + make_interval(secs => %(lease_s)s))
ON CONFLICT (service) DO UPDATE SET lease = excluded.lease, leased_until = excluded.leased_until
WHERE held.lease IS NULL OR held.leased_until < clock_timestamp()
RETURNING service
"""
_RENEW = """
UPDATE documents_services SET leased_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE service = %(service)s AND lease = %(token)s
"""
_RELEASE = (
    "UPDATE documents_services SET lease = NULL WHERE service = %(service)s AND lease = %(token)s"
)


class PostgresLease:
    def __init__(self, postgres: Postgres, service: str) -> None:
        self._postgres = postgres
        self._service = service

    async def take(self, token: str, lease_s: float) -> bool:
        try:
            return await self._changed(_TAKE, token, lease_s)
        except errors.UndefinedTable:
            await self._postgres.run(create_tables, has_time=True)
            return await self._changed(_TAKE, token, lease_s)

    async def renew(self, token: str, lease_s: float) -> None:
        await self._changed(_RENEW, token, lease_s)

    async def release(self, token: str) -> None:
        await self._changed(_RELEASE, token)

    async def _changed(self, statement: LiteralString, token: str, lease_s: float = 0) -> bool:
        values = {"service": self._service, "token": token, "lease_s": lease_s}

        async def ask(connection: Connection) -> bool:
            return (await connection.execute(statement, values)).rowcount == 1

        return await self._postgres.run(ask)
