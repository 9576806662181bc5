"""Searches the index that the processes share: tables of Postgres, with vectors of pgvector.

The search is approximate (HNSW, vectors of 16-bit floats): `make bench ARGS=stores` measures its
recall. A search is one statement on one table, so its chunks are those before a change or after it.
Source: https://github.com/pgvector/pgvector
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import LiteralString

import structlog
from psycopg import errors, sql
from psycopg.rows import TupleRow

from app.rag.shared.index import Published, named, spelled
from app.rag.shared.lease import Lease
from app.rag.shared.postgres import tables
from app.rag.shared.postgres.build import PostgresBuild
from app.rag.shared.postgres.client import Connection, Postgres
from app.rag.shared.postgres.lease import PostgresLease
from app.rag.types import EmbeddingSpace, ScoredChunk

_log = structlog.get_logger(__name__)

# The candidates of a search: docs/performance.md has the recall with others.
_EFFORT = 100

_PUBLISHED = """
SELECT own.generation, own.fingerprint, own.texts, service.current_model, service.current_dimension
FROM documents_services AS service
LEFT JOIN documents_spaces AS own ON own.service = service.service AND own.space = %(space)s
    AND (own.expires_at IS NULL OR own.expires_at > clock_timestamp())
WHERE service.service = %(service)s
"""

# Vectors have length 1, so the product is the cosine; `<#>` is the negative product. An iterative
# scan goes on until it has k rows: the index also has rows that other transactions add or removed.
_SETTINGS = """
SELECT set_config('hnsw.ef_search', %s, true), set_config('hnsw.iterative_scan', 'strict_order', true),
    set_config('hnsw.max_scan_tuples', '1000000', true)
"""
_NEAREST = """
WITH question AS MATERIALIZED (SELECT l2_normalize(%(vector)b::float8[]::vector)::halfvec AS unit)
SELECT content, ids, -(embedding <#> (SELECT unit FROM question)) AS score
FROM {chunks} ORDER BY embedding <#> (SELECT unit FROM question) LIMIT %(k)s
"""
_COUNT = "SELECT count(*) FROM {chunks}"
_WITHDRAW = """
UPDATE documents_spaces SET generation = NULL
WHERE service = %s AND space = %s AND generation = %s
"""


class PostgresIndex:
    def __init__(self, postgres: Postgres, service: str) -> None:
        self._postgres = postgres
        self._service = service
        self._lease = PostgresLease(postgres, service)

    async def is_available(self) -> bool:
        return await self._postgres.is_available()

    def lease(self) -> AbstractAsyncContextManager[str | None]:
        return Lease(self._lease).held()

    async def begin(self, token: str, space: EmbeddingSpace) -> PostgresBuild:
        return await PostgresBuild.begin(self._postgres, self._service, token, space)

    async def published(
        self, space: EmbeddingSpace
    ) -> tuple[Published | None, EmbeddingSpace | None]:
        row = await self._published(space)
        if row is None:
            return None, None
        generation, fingerprint, texts, model, dimension = row
        return (
            None if generation is None else Published(generation, fingerprint, texts),
            None if model is None else EmbeddingSpace(model, dimension),
        )

    async def current(self) -> EmbeddingSpace | None:
        _state, current = await self.published(EmbeddingSpace("", 0))
        return current

    async def nearest(
        self, space: EmbeddingSpace, state: Published, vector: Sequence[float], k: int
    ) -> list[ScoredChunk] | None:
        """The k chunks nearest to a vector; `None` if the published table is another one, or lost."""
        try:
            rows = await self._postgres.run(partial(self._near, space, state, vector, k))
            is_lost = len(rows) < min(k, state.texts) and await self._lacks(space, state)
        except errors.UndefinedTable:
            rows, is_lost = [], True
        if is_lost:
            await self._withdraw(space, state)
            return None
        found = [named(text, ids, _cosine(score)) for text, ids, score in rows]
        return [chunk for chunks in found for chunk in chunks][:k]

    async def _published(self, space: EmbeddingSpace) -> TupleRow | None:
        values = {"service": self._service, "space": spelled(space)}

        async def ask(connection: Connection) -> TupleRow | None:
            return await (await connection.execute(_PUBLISHED, values)).fetchone()

        try:
            return await self._postgres.run(ask)
        except errors.UndefinedTable:  # no process has built an index
            return None

    async def _near(
        self,
        space: EmbeddingSpace,
        state: Published,
        vector: Sequence[float],
        k: int,
        connection: Connection,
    ) -> list[TupleRow]:
        statement = self._about(_NEAREST, space, state)
        async with connection.pipeline(), connection.transaction():
            await connection.execute(_SETTINGS, [str(_EFFORT)])
            found = await connection.execute(statement, {"vector": list(vector), "k": k})
            return await found.fetchall()

    async def _lacks(self, space: EmbeddingSpace, state: Published) -> bool:
        async def ask(connection: Connection) -> bool:
            counted = await connection.execute(self._about(_COUNT, space, state))
            row = await counted.fetchone()
            return row is None or row[0] < state.texts

        return await self._postgres.run(ask)

    def _about(
        self, statement: LiteralString, space: EmbeddingSpace, state: Published
    ) -> sql.Composed:
        table = tables.chunks(self._service, space, state.generation)
        return sql.SQL(statement).format(chunks=sql.Identifier(table))

    async def _withdraw(self, space: EmbeddingSpace, state: Published) -> None:
        """Forget a generation with lost chunks: the next search builds the index again."""

        async def ask(connection: Connection) -> int:
            values = [self._service, spelled(space), state.generation]
            return (await connection.execute(_WITHDRAW, values)).rowcount

        if await self._postgres.run(ask):
            _log.warning("retrieval.index_lost", model=space.model, dimension=space.dimension)


def _cosine(score: float) -> float:
    """Rounding to 16 bits makes the length of a vector a little more or less than 1."""
    return max(-1.0, min(1.0, score))
