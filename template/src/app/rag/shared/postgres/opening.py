"""Opens the documents in a Postgres with pgvector 0.8 or later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import errors

from app.errors import DocumentsNotReadyError
from app.rag.policy import DocumentsPolicy
from app.rag.shared.index import unusable
from app.rag.shared.library import SharedLibrary, opened
from app.rag.shared.postgres.client import Postgres, open_postgres
from app.rag.shared.postgres.connection import Connection
from app.rag.shared.postgres.index import PostgresIndex
from app.rag.types import Embed

_NO_VECTORS = (
    "DOCUMENTS_STORE=postgres needs pgvector 0.8 or later in the database of DOCUMENTS_POSTGRES_URL: {}. "
    "Let a superuser run: CREATE EXTENSION vector (or ALTER EXTENSION vector UPDATE)."
)
# 0.8 is the first version with iterative scans: see `app.rag.shared.postgres.index`.
_LEAST = (0, 8)
_VERSION = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"


@asynccontextmanager
async def open_postgres_library(
    policy: DocumentsPolicy, embed: Embed, *, previews: bool = False
) -> AsyncIterator[SharedLibrary]:
    """Open the library. Raises `StoreUnusableError` if Postgres answers and has no pgvector."""
    if policy.postgres_url is None:
        raise ValueError("DOCUMENTS_STORE=postgres needs DOCUMENTS_POSTGRES_URL")
    async with open_postgres(
        policy.postgres_url.get_secret_value(),
        pool_size=policy.postgres_pool_size,
        timeout_s=policy.postgres_timeout_s,
    ) as postgres:
        await _check_extension(postgres)
        index = PostgresIndex(postgres, policy.postgres_prefix or "app")
        checks = {"postgres": postgres.is_available}
        async with opened(policy, embed, index, previews=previews, checks=checks) as library:
            yield library


async def _check_extension(postgres: Postgres) -> None:
    try:
        version = await postgres.run(_version)
    except DocumentsNotReadyError:  # a service starts without its Postgres, too
        return
    if version is None:
        raise unusable(_NO_VECTORS.format("it has none"))
    if tuple(map(int, version.split(".")[:2])) < _LEAST:
        raise unusable(_NO_VECTORS.format(f"it has {version}"))


async def _version(connection: Connection) -> str | None:
    """The version of pgvector, which a superuser creates here; `None` if there is none."""
    row = await (await connection.execute(_VERSION)).fetchone()
    if row is None:
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFile):
            return None
        except errors.UniqueViolation:  # another process creates it at this moment
            pass
        row = await (await connection.execute(_VERSION)).fetchone()
    return None if row is None else str(row[0])
