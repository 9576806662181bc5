"""Searches the index that the processes share: tables of Postgres, with vectors of pgvector.

The search is approximate (HNSW, vectors of 16-bit floats): `make bench ARGS=stores` measures its
recall. A search is one statement on one table, so its chunks are those before a change or after it.
The statement also tells which table is published, so it is one round trip.
Source: https://github.com/pgvector/pgvector
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial

import structlog
from psycopg import errors, sql
from psycopg.rows import TupleRow

from app.rag.shared.index import Found, Published, named, spelled
from app.rag.shared.lease import Lease
from app.rag.shared.postgres import tables
from app.rag.shared.postgres.build import PostgresBuild
from app.rag.shared.postgres.client import Postgres
from app.rag.shared.postgres.connection import Connection
from app.rag.shared.postgres.lease import PostgresLease
from app.rag.shared.postgres.vector import Vector
from app.rag.types import EmbeddingSpace

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
# The settings hold until the end of this statement. The question is computed from them, so they are
# set when the scan begins. They are not set at the connection: a pooler in transaction mode refuses
# settings there, or shares them. In a statement of their own they doubled the time of a search.
_NEAREST = """
WITH settings AS MATERIALIZED (
    SELECT set_config('hnsw.ef_search', %(effort)s, true),
        set_config('hnsw.iterative_scan', 'strict_order', true),
        set_config('hnsw.max_scan_tuples', '1000000', true)
), question AS MATERIALIZED (
    SELECT l2_normalize(%(vector)b::vector)::halfvec AS unit FROM settings
), found AS MATERIALIZED (
    SELECT content, ids, -(embedding <#> (SELECT unit FROM question)) AS score
    FROM {chunks} ORDER BY embedding <#> (SELECT unit FROM question) LIMIT %(k)s
), published AS ({published})
SELECT published.*, found.* FROM published LEFT JOIN found ON true ORDER BY score DESC
"""
_COUNT = "SELECT count(*) FROM {chunks}"
_WITHDRAW = """
UPDATE documents_spaces SET generation = NULL
WHERE service = %s AND space = %s AND generation = %s
"""
# The columns of `_PUBLISHED`, which each row of a search begins with.
_STATES = 5


def search_of(table: sql.Identifier) -> sql.Composed:
    """The statement of a search in a table, for `search_values`."""
    return sql.SQL(_NEAREST).format(chunks=table, published=sql.SQL(_PUBLISHED))


def search_values(
    service: str, space: EmbeddingSpace, vector: Sequence[float], k: int
) -> dict[str, object]:
    return {
        "service": service,
        "space": spelled(space),
        "effort": str(_EFFORT),
        "vector": Vector(vector),
        "k": k,
    }


class PostgresIndex:
    def __init__(self, postgres: Postgres, service: str) -> None:
        self._postgres = postgres
        self._service = service
        self._lease = PostgresLease(postgres, service)
        # The tables of earlier searches: the next search begins with them, and asks whether they
        # are still the published ones.
        self._known: dict[EmbeddingSpace, Published] = {}

    async def is_available(self) -> bool:
        return await self._postgres.is_available()

    def lease(self) -> AbstractAsyncContextManager[str | None]:
        return Lease(self._lease).held()

    async def begin(self, token: str, space: EmbeddingSpace) -> PostgresBuild:
        return await PostgresBuild.begin(self._postgres, self._service, token, space)

    async def published(
        self, space: EmbeddingSpace
    ) -> tuple[Published | None, EmbeddingSpace | None]:
        values = {"service": self._service, "space": spelled(space)}

        async def ask(connection: Connection) -> TupleRow | None:
            return await (await connection.execute(_PUBLISHED, values)).fetchone()

        try:
            return _states(await self._postgres.run(ask))
        except errors.UndefinedTable:  # no process has built an index
            return None, None

    async def current(self) -> EmbeddingSpace | None:
        _state, current = await self.published(EmbeddingSpace("", 0))
        return current

    async def nearest(self, space: EmbeddingSpace, vector: Sequence[float], k: int) -> Found:
        """The k chunks nearest to a vector, in one round trip if the published table is known."""
        known = self._known.get(space)
        found = None if known is None else await self._searched(space, known, vector, k)
        if found is not None:
            return found
        state, current = await self.published(space)
        if state is None:
            self._known.pop(space, None)
            return Found(None, current)
        self._known[space] = state
        found = await self._searched(space, state, vector, k)
        if found is None and (await self.published(space))[0] == state:
            await self._withdraw(space, state)
        return found or Found(state, current)

    async def _searched(
        self, space: EmbeddingSpace, known: Published, vector: Sequence[float], k: int
    ) -> Found | None:
        """What is in a table; `None` if another one is published, or it has lost chunks."""
        try:
            rows = await self._postgres.run(partial(self._near, space, known, vector, k))
        except errors.UndefinedTable:
            return None
        state, current = _states(rows[0][:_STATES] if rows else None)
        if state is None or state.generation != known.generation:
            return None
        self._known[space] = state
        near = [row[_STATES:] for row in rows if row[_STATES] is not None]
        if len(near) < min(k, state.texts) and await self._lacks(space, state):
            return None
        found = [named(text, ids, _cosine(score)) for text, ids, score in near]
        return Found(state, current, [chunk for chunks in found for chunk in chunks][:k])

    async def _near(
        self,
        space: EmbeddingSpace,
        known: Published,
        vector: Sequence[float],
        k: int,
        connection: Connection,
    ) -> list[TupleRow]:
        table = tables.chunks(self._service, space, known.generation)
        values = search_values(self._service, space, vector, k)
        found = await connection.execute(search_of(sql.Identifier(table)), values)
        return await found.fetchall()

    async def _lacks(self, space: EmbeddingSpace, state: Published) -> bool:
        async def ask(connection: Connection) -> bool:
            table = sql.Identifier(tables.chunks(self._service, space, state.generation))
            counted = await connection.execute(sql.SQL(_COUNT).format(chunks=table))
            row = await counted.fetchone()
            return row is None or row[0] < state.texts

        return await self._postgres.run(ask)

    async def _withdraw(self, space: EmbeddingSpace, state: Published) -> None:
        """Forget a generation with lost chunks: the next search builds the index again."""

        async def ask(connection: Connection) -> int:
            values = [self._service, spelled(space), state.generation]
            return (await connection.execute(_WITHDRAW, values)).rowcount

        if await self._postgres.run(ask):
            _log.warning("retrieval.index_lost", model=space.model, dimension=space.dimension)


def _states(row: TupleRow | None) -> tuple[Published | None, EmbeddingSpace | None]:
    """The published generation of a space, and the space that was published last."""
    if row is None:
        return None, None
    generation, fingerprint, texts, model, dimension = row
    return (
        None if generation is None else Published(generation, fingerprint, texts),
        None if model is None else EmbeddingSpace(model, dimension),
    )


def _cosine(score: float) -> float:
    """Rounding to 16 bits makes the length of a vector a little more or less than 1."""
    return max(-1.0, min(1.0, score))
