"""The tables of the documents in Postgres, and the names of them.

- `documents_services`: a row for each service (`REDIS_PREFIX`): the lease of the builder, and the
  space that was published last.
- `documents_spaces`: a row for each embedding space of a service, with its published generation.
- `documents_<tag>_<generation>`: the published chunks of one space: a vector of 16-bit floats, of
  length 1, and the ids of the chunks with this text. A search uses nothing else, so it needs no filter.
- `documents_<tag>_new`: the chunks that are embedded and not published yet. It has no index, so
  adding to it is cheap, and it is what a builder that continues finds.

All tables are in the first schema of the role's search path. They can be made again from the
documents: to free their place, drop them.
"""

import json

from psycopg import sql

from app.rag.shared.index import spelled, tag
from app.rag.shared.postgres.connection import Connection
from app.rag.types import EmbeddingSpace

_TABLES = """
CREATE TABLE IF NOT EXISTS documents_services (
    service text PRIMARY KEY,
    lease text,
    leased_until timestamptz,
    current_model text,
    current_dimension int,
    changed_to text,
    changed_until timestamptz
);
CREATE TABLE IF NOT EXISTS documents_spaces (
    service text,
    space text,
    generation bigint,
    fingerprint text,
    texts int,
    expires_at timestamptz,
    PRIMARY KEY (service, space)
)
"""

# HNSW with 16-bit floats has at most so many dimensions. Above, a search compares with every vector.
MAX_INDEXED = 4000


def staging(service: str, space: EmbeddingSpace) -> str:
    return f"documents_{tag(service, spelled(space))}_new"


def chunks(service: str, space: EmbeddingSpace, generation: int) -> str:
    return f"documents_{tag(service, spelled(space))}_{generation}"


def unspelled(space: str) -> EmbeddingSpace:
    return EmbeddingSpace(*json.loads(space))


async def generation(connection: Connection, service: str, space: EmbeddingSpace) -> int | None:
    found = await connection.execute(
        "SELECT generation FROM documents_spaces WHERE service = %s AND space = %s",
        [service, spelled(space)],
    )
    row = await found.fetchone()
    return None if row is None else row[0]


async def published(
    connection: Connection, service: str, space: EmbeddingSpace
) -> sql.Identifier | None:
    """The table that searches use; `None` if there is none, or an operator has dropped it."""
    number = await generation(connection, service, space)
    if number is None:
        return None
    name = chunks(service, space, number)
    found = await connection.execute("SELECT to_regclass(quote_ident(%s))", [name])
    return None if await found.fetchone() == (None,) else sql.Identifier(name)


async def lock(connection: Connection, service: str) -> None:
    """Let one process at a time change tables, until the end of the transaction."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"documents {service}"]
    )


async def create_tables(connection: Connection) -> None:
    """`IF NOT EXISTS` alone fails if two processes create a table at the same time."""
    async with connection.transaction():
        await lock(connection, "")
        await connection.execute(_TABLES)


async def create_chunks(connection: Connection, name: str, dimension: int, *, ids: bool) -> None:
    """Create a table, with the vectors in its rows.

    Postgres would move vectors beside long texts to another table, and the planner does not count
    reading that: a search of 10,000 chunks would read each vector, and not the index.
    """
    column = sql.SQL(", ids text[] NOT NULL") if ids else sql.SQL("")
    await connection.execute(
        sql.SQL(
            "CREATE TABLE IF NOT EXISTS {} (key text PRIMARY KEY, content text NOT NULL{},"
            " embedding halfvec({}) NOT NULL)"
        ).format(sql.Identifier(name), column, sql.Literal(dimension))
    )
    await connection.execute(
        sql.SQL("ALTER TABLE {} ALTER COLUMN embedding SET STORAGE MAIN").format(
            sql.Identifier(name)
        )
    )


async def drop_all_but(
    connection: Connection, service: str, space: EmbeddingSpace, generation: int | None
) -> None:
    """Drop the tables of a space, except for those of a generation: also those of a broken-off build."""
    begin = f"documents_{tag(service, spelled(space))}_"
    kept = (
        () if generation is None else (chunks(service, space, generation), staging(service, space))
    )
    found = await connection.execute(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND starts_with(relname, %s)"
        " AND relnamespace = current_schema()::regnamespace",
        [begin],
    )
    for (name,) in await found.fetchall():
        if name not in kept:
            await connection.execute(
                sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name))
            )
