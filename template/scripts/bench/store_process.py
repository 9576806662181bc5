"""The process that `scripts.bench.stores` measures: the service's imports, one library, one store."""

import asyncio
import json
import re
import sys
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from secrets import token_hex

from pydantic import SecretStr

from app.backend import Shared
from app.errors import DocumentsNotReadyError
from app.main import create_app
from app.rag.answering import open_library
from app.rag.policy import DocumentsPolicy
from app.rag.searchable import Searchable
from app.rag.types import Embedded
from app.settings import Settings

_FLOAT_BYTES = 4


class _Rows:
    """The vectors of a file, by the number that a text begins with; a question is a number."""

    def __init__(self, path: Path, dimension: int) -> None:
        self._file = path.open("rb")
        self._bytes = dimension * _FLOAT_BYTES

    async def __call__(self, texts: Sequence[str]) -> Embedded:
        return Embedded("mixture", [self._row(int(text.split()[0])) for text in texts])

    def _row(self, number: int) -> list[float]:
        self._file.seek(number * self._bytes)
        row = array("f")
        row.frombytes(self._file.read(self._bytes))
        return row.tolist()


@asynccontextmanager
async def _opened(store: str, directory: Path, embed: _Rows, url: str) -> AsyncIterator[Searchable]:
    if store == "memory":
        policy = DocumentsPolicy(dir=directory / "docs")
        async with open_library(policy, embed, None) as library:
            yield library
        return
    if store == "postgres":
        policy = DocumentsPolicy(
            store="postgres",
            dir=directory / "docs",
            postgres_url=SecretStr(url),
            postgres_prefix=f"bench-{token_hex(4)}",
        )
        async with open_library(policy, embed, None) as library:
            yield library
        return
    policy = DocumentsPolicy(store="redis", dir=directory / "docs")
    async with _redis(url) as redis, open_library(policy, embed, redis) as library:
        yield library


def _redis(url: str) -> AbstractAsyncContextManager[Shared]:
    from app.redis.client import open_redis  # noqa: PLC0415 - for this store only

    return open_redis(url, f"bench-{token_hex(4)}")


async def _main(
    store: str, directory: Path, url: str, *, dimension: int, chunks: int, k: int
) -> None:
    app = create_app(Settings())  # as much memory as the service takes
    embed = _Rows(directory / "vectors", dimension)
    async with _opened(store, directory, embed, url) as library:
        started = time.perf_counter()
        await _built(library, k)
        build_s = time.perf_counter() - started
        seconds, found = [], []
        count = (directory / "vectors").stat().st_size // (dimension * _FLOAT_BYTES)
        for question in range(chunks, count):
            started = time.perf_counter()
            answer = await library.search(str(question), k)
            seconds.append(time.perf_counter() - started)
            found.append([int(scored.chunk.text.split()[0]) for scored in answer])
        measured = {
            "build_s": build_s,
            "seconds": seconds,
            "found": found,
            "peak_mb": _peak_mb(),
            "server_mb": await _SIZES[store](url) if store in _SIZES else None,
            "routes": len(app.routes),
        }
    print(json.dumps(measured))


async def _built(library: Searchable, k: int) -> None:
    """Search until there is an index: a caller is refused after half a minute."""
    while True:
        try:
            await library.search("0", k)
        except DocumentsNotReadyError:
            await asyncio.sleep(1)
            continue
        return


def _peak_mb() -> float:
    """From Linux: `getrusage` has the peak of the process that started this one, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


async def _redis_mb(url: str) -> float:
    from redis.asyncio import Redis  # noqa: PLC0415 - the process of the other store has none

    async with Redis.from_url(url) as client:
        return float((await client.info("memory"))["used_memory"]) / 1024 / 1024


async def _postgres_mb(url: str) -> float:
    from psycopg import AsyncConnection  # noqa: PLC0415 - the processes of other stores have none

    async with await AsyncConnection.connect(url) as connection:
        found = await connection.execute("SELECT pg_database_size(current_database())")
        row = await found.fetchone()
    return float(row[0]) / 1024 / 1024 if row else 0.0


_SIZES = {"redis": _redis_mb, "postgres": _postgres_mb}


if __name__ == "__main__":
    store, directory, dimension, chunks, k, url = sys.argv[1:]
    asyncio.run(
        _main(store, Path(directory), url, dimension=int(dimension), chunks=int(chunks), k=int(k))
    )
