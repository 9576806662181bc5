"""Switches searches to another generation, in one transaction."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import errors, sql

from app.errors import DocumentsNotReadyError
from app.rag.shared.index import OTHER_SPACE_S, spelled
from app.rag.shared.postgres import tables
from app.rag.shared.postgres.connection import Connection
from app.rag.types import EmbeddingSpace

# The changes up to which the published table is changed. More make a new table: adding a row to an
# index takes six times as long as its part of a new index does.
_FEW = 0.2
# Links of each vector, and candidates while the index is made: see docs/performance.md.
_LINKS, _EFFORT = 16, 64
_MAX_MEMORY_KB = 1024 * 1024
# An element of the graph, beside its vector.
_ELEMENT_BYTES = 700

_HELD = """
SELECT 1 FROM documents_services
WHERE service = %s AND lease = %s AND leased_until > clock_timestamp()
"""
_WANTED = "CREATE TEMPORARY TABLE wanted (key text PRIMARY KEY, ids text[] NOT NULL) ON COMMIT DROP"
_CHANGES = """
SELECT (SELECT count(*) FROM wanted WHERE key NOT IN (SELECT key FROM {live})),
    (SELECT count(*) FROM {live} WHERE key NOT IN (SELECT key FROM wanted))
"""
_REMOVE = "DELETE FROM {live} WHERE key NOT IN (SELECT key FROM wanted)"
_RENAME = """
UPDATE {live} AS live SET ids = wanted.ids FROM wanted
WHERE live.key = wanted.key AND live.ids <> wanted.ids
"""
_TAKE = """
INSERT INTO {into} (key, content, ids, embedding)
SELECT source.key, source.content, wanted.ids, source.embedding
FROM {source} AS source JOIN wanted USING (key)
ON CONFLICT (key) DO NOTHING
"""
_INDEX = """
CREATE INDEX ON {table} USING hnsw (embedding halfvec_ip_ops)
WITH (m = {links}, ef_construction = {effort})
"""
_PUBLISH = """
UPDATE documents_spaces
SET generation = %(generation)s, fingerprint = %(fingerprint)s, texts = %(texts)s, expires_at = NULL
WHERE service = %(service)s AND space = %(space)s
"""
_SWITCH = """
UPDATE documents_services SET current_model = %(model)s, current_dimension = %(dimension)s
WHERE service = %(service)s
"""
_EXPIRE = """
UPDATE documents_spaces SET expires_at = clock_timestamp() + make_interval(secs => %(other_s)s)
WHERE service = %(service)s AND space <> %(space)s AND expires_at IS NULL
"""
_FORGET = """
DELETE FROM documents_spaces WHERE service = %s AND expires_at < clock_timestamp() RETURNING space
"""


@dataclass(frozen=True, slots=True)
class Publication:
    service: str
    token: str
    space: EmbeddingSpace
    ids: Mapping[str, Sequence[str]]
    fingerprint: str

    async def publish(self, connection: Connection) -> None:
        """Raises `DocumentsNotReadyError` if the lease was lost, or a chunk has gone."""
        async with connection.transaction():
            await tables.lock(connection, self.service)
            await self._check_lease(connection)
            await self._want(connection)
            generation = await self._fill(connection)
            table = sql.Identifier(tables.chunks(self.service, self.space, generation))
            await self._check_complete(connection, table)
            await connection.execute(sql.SQL("ANALYZE {}").format(table))
            await self._check_lease(connection)
            await self._switch(connection, generation)

    async def clean_up(self, connection: Connection) -> None:
        """Drop the tables that no search uses any more."""
        async with connection.transaction():
            await tables.lock(connection, self.service)
            generation = await tables.generation(connection, self.service, self.space)
            await tables.drop_all_but(connection, self.service, self.space, generation)
            forgotten = await connection.execute(_FORGET, [self.service])
            for (spelling,) in await forgotten.fetchall():
                await tables.drop_all_but(
                    connection, self.service, tables.unspelled(spelling), None
                )

    async def _check_lease(self, connection: Connection) -> None:
        held = await connection.execute(_HELD, [self.service, self.token])
        if await held.fetchone() is None:
            raise DocumentsNotReadyError(
                "Another process has begun to build the index.", retry_after_s=1.0
            )

    async def _want(self, connection: Connection) -> None:
        await connection.execute(_WANTED)
        async with (
            connection.cursor() as cursor,
            cursor.copy("COPY wanted (key, ids) FROM STDIN") as copy,
        ):
            for key, names in self.ids.items():
                await copy.write_row((key, [*names]))
        await connection.execute("ANALYZE wanted")

    async def _fill(self, connection: Connection) -> int:
        """Change the published table, or make a new one. Return its generation."""
        live = await tables.published(connection, self.service, self.space)
        if live is not None and await self._has_few_changes(connection, live):
            await connection.execute(sql.SQL(_REMOVE).format(live=live))
            await connection.execute(sql.SQL(_RENAME).format(live=live))
            await connection.execute(sql.SQL(_TAKE).format(into=live, source=self._staging))
            generation = await tables.generation(connection, self.service, self.space)
            assert generation is not None  # noqa: S101 - for mypy: there is a published table
            return generation
        return await self._make(connection, live)

    async def _has_few_changes(self, connection: Connection, live: sql.Identifier) -> bool:
        counted = await connection.execute(sql.SQL(_CHANGES).format(live=live))
        row = await counted.fetchone()
        assert row is not None  # noqa: S101 - for mypy: a count has a row
        return sum(row) <= _FEW * len(self.ids)

    async def _make(self, connection: Connection, live: sql.Identifier | None) -> int:
        generation = time.time_ns() // 1_000_000
        name = tables.chunks(self.service, self.space, generation)
        await tables.create_chunks(connection, name, self.space.dimension, ids=True)
        into = sql.Identifier(name)
        for source in filter(None, [self._staging, live]):
            await connection.execute(sql.SQL(_TAKE).format(into=into, source=source))
        if self.space.dimension <= tables.MAX_INDEXED:
            await self._make_index(connection, into)
        return generation

    async def _make_index(self, connection: Connection, table: sql.Identifier) -> None:
        statement = sql.SQL(_INDEX).format(
            table=table, links=sql.Literal(_LINKS), effort=sql.Literal(_EFFORT)
        )
        await connection.execute(
            "SELECT set_config('maintenance_work_mem', %s, true)", [self._memory]
        )
        try:
            async with connection.transaction():
                await connection.execute(statement)
        except errors.InsufficientResources:
            # In a container, processes share 64 MB unless `--shm-size` says more; one needs none.
            await connection.execute("SET LOCAL max_parallel_maintenance_workers = 0")
            await connection.execute(statement)

    @property
    def _memory(self) -> str:
        """Enough for the graph: with less, making it takes several times as long."""
        needed = len(self.ids) * (2 * self.space.dimension + _ELEMENT_BYTES) // 1024
        return f"{max(64 * 1024, min(needed, _MAX_MEMORY_KB))}kB"

    async def _check_complete(self, connection: Connection, table: sql.Identifier) -> None:
        counted = await connection.execute(sql.SQL("SELECT count(*) FROM {}").format(table))
        if await counted.fetchone() != (len(self.ids),):
            raise DocumentsNotReadyError(
                "A part of the index was removed while it was built.", retry_after_s=1.0
            )

    async def _switch(self, connection: Connection, generation: int) -> None:
        values = {
            "service": self.service,
            "space": spelled(self.space),
            "generation": generation,
            "fingerprint": self.fingerprint,
            "texts": len(self.ids),
            "model": self.space.model,
            "dimension": self.space.dimension,
            "other_s": OTHER_SPACE_S,
        }
        for statement in (_PUBLISH, _SWITCH, _EXPIRE):
            await connection.execute(statement, values)
        await connection.execute(sql.SQL("TRUNCATE {}").format(self._staging))

    @property
    def _staging(self) -> sql.Identifier:
        return sql.Identifier(tables.staging(self.service, self.space))
