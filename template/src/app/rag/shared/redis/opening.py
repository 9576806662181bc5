"""Opens the documents in the vector sets of a Redis, which must be Redis 8 or later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.exceptions import ResponseError

from app.backend import Shared
from app.errors import DocumentsNotReadyError
from app.rag.policy import DocumentsPolicy
from app.rag.shared.index import unusable
from app.rag.shared.library import SharedLibrary, opened
from app.rag.shared.redis.index import RedisIndex
from app.rag.shared.redis.store import DocumentStore
from app.rag.types import Embed

_NO_VECTORS = (
    "DOCUMENTS_STORE=redis needs vector sets: the server of REDIS_URL must be Redis 8 or later."
)


@asynccontextmanager
async def open_redis_library(
    policy: DocumentsPolicy, embed: Embed, redis: Shared, *, previews: bool = False
) -> AsyncIterator[SharedLibrary]:
    """Open the library. Raises `StoreUnusableError` if Redis answers and has no vector sets."""
    store = DocumentStore(redis)
    await _check_version(store)
    async with opened(policy, embed, RedisIndex(store), previews=previews) as library:
        yield library


async def _check_version(store: DocumentStore) -> None:
    async def ask() -> bool:
        try:
            await store.client.vset().vcard(store.key("vectors"))
        except ResponseError as error:
            if "unknown command" not in str(error).lower():
                raise
            return False
        return True

    try:
        has_vectors = await store.read(ask)
    except DocumentsNotReadyError:  # a service starts without its Redis, too
        return
    if not has_vectors:
        raise unusable(_NO_VECTORS)
