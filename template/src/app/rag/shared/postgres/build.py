"""Writes the index that the processes share. Each step can be repeated, and continued by another process.

Vectors are added to a table that no search uses. One transaction publishes them: a few changes go
into the published table, and many into a new one, because an index that is made at once costs a
fraction of the same rows one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial

from psycopg import errors, sql

from app.errors import DocumentsNotReadyError
from app.rag.chunks import Chunk
from app.rag.shared.index import MODEL_LASTS_S, batches, spelled
from app.rag.shared.patience import patiently
from app.rag.shared.postgres import tables
from app.rag.shared.postgres.client import Postgres
from app.rag.shared.postgres.connection import Connection
from app.rag.shared.postgres.publication import Publication
from app.rag.shared.postgres.vector import Vector
from app.rag.types import EmbeddingSpace

# With 3,072 dimensions a call sends 2 MB.
_VECTORS_AT_ONCE = 64
_KEYS_AT_ONCE = 5000

_BEGIN = """
INSERT INTO documents_spaces (service, space) VALUES (%s, %s)
ON CONFLICT (service, space) DO UPDATE SET expires_at = NULL
"""
_KNOWN = "SELECT key FROM {} WHERE key = ANY(%s)"
# Normalised here, in 32-bit floats: a number above 65,504 is too large for one of 16 bits.
_ADD = """
INSERT INTO {} (key, content, embedding)
VALUES (%s, %s, l2_normalize(%b::vector)::halfvec) ON CONFLICT (key) DO NOTHING
"""
_CHANGE_MODEL = """
UPDATE documents_services
SET changed_to = %(space)s, changed_until = clock_timestamp() + make_interval(secs => %(lasts_s)s)
WHERE service = %(service)s AND (changed_until IS NULL OR changed_until < clock_timestamp())
"""
_CHANGED = "SELECT changed_to FROM documents_services WHERE service = %(service)s"


class PostgresBuild:
    """One generation of the index of one space, made by the holder of the lease."""

    def __init__(
        self,
        postgres: Postgres,
        service: str,
        token: str,
        space: EmbeddingSpace,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.space = space
        self._postgres = postgres
        self._service = service
        self._token = token
        self._staging = sql.Identifier(tables.staging(service, space))
        self._sleep = sleep

    @classmethod
    async def begin(
        cls, postgres: Postgres, service: str, token: str, space: EmbeddingSpace
    ) -> "PostgresBuild":
        """Begin a new generation. The vectors that the space has already do not expire any more."""

        async def ask(connection: Connection) -> None:
            async with connection.transaction():
                await tables.lock(connection, service)
                await connection.execute(_BEGIN, [service, spelled(space)])
                name = tables.staging(service, space)
                await tables.create_chunks(connection, name, space.dimension, ids=False)

        await postgres.run(ask)
        return cls(postgres, service, token, space)

    async def allow_model(self) -> None:
        values = {"service": self._service, "space": spelled(self.space), "lasts_s": MODEL_LASTS_S}

        async def ask(connection: Connection) -> object:
            await connection.execute(_CHANGE_MODEL, values)
            return await (await connection.execute(_CHANGED, values)).fetchone()

        if await self._postgres.run(ask) != (values["space"],):
            raise DocumentsNotReadyError(
                "Several embedding models answer in turn.", retry_after_s=1.0
            )

    async def known(self, keys: Collection[str]) -> set[str]:
        known = set[str]()
        for some in batches(keys, _KEYS_AT_ONCE):
            known |= await self._postgres.run(partial(self._known, some), has_time=True)
        return known

    async def _known(self, keys: Sequence[str], connection: Connection) -> set[str]:
        live = await tables.published(connection, self._service, self.space)
        known = set[str]()
        for table in filter(None, [self._staging, live]):
            found = await connection.execute(sql.SQL(_KNOWN).format(table), [keys])
            known.update(key for (key,) in await found.fetchall())
        return known

    async def add(self, chunks: Sequence[Chunk], vectors: Sequence[Sequence[float]]) -> None:
        statement = sql.SQL(_ADD).format(self._staging)
        for some in batches(list(zip(chunks, vectors, strict=True)), _VECTORS_AT_ONCE):
            rows = [(chunk.key, chunk.text, Vector(vector)) for chunk, vector in some]

            async def ask(connection: Connection, rows: Sequence[Sequence[object]] = rows) -> None:
                async with connection.transaction(), connection.cursor() as cursor:
                    await cursor.executemany(statement, rows)

            await patiently(partial(self._postgres.run, ask), self._sleep)

    async def publish(self, ids: Mapping[str, Sequence[str]], fingerprint: str) -> None:
        publication = Publication(self._service, self._token, self.space, ids, fingerprint)
        await self._postgres.run(publication.publish, has_time=True)
        try:
            await self._postgres.run(publication.clean_up, has_time=True)
        except errors.UndefinedTable:  # pragma: no cover - another process cleaned up
            return
