"""The server's own time of a search, its time for nothing, and the place of the index.

On a busy machine a search waits for processors. The server's own time has less of that, and a call
that does nothing, PING or SELECT 1, has nothing else.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median
from typing import Any

from app.rag.types import EmbeddingSpace

# Searches of a store through its library, for which the server's clock is read.
Searches = Callable[[], Awaitable[None]]


async def redis_ms(url: str, search: Searches) -> float:
    """The mean of the command VSIM during the searches, which includes its thread."""
    from redis.asyncio import Redis  # noqa: PLC0415 - the processes of other stores have none

    async with Redis.from_url(url) as client:
        before = await _vsim(client)
        await search()
        after = await _vsim(client)
    return (after["usec"] - before["usec"]) / (after["calls"] - before["calls"]) / 1000


async def _vsim(client: Any) -> dict[str, float]:  # noqa: ANN401 - Redis has a type variable
    stats = await client.info("commandstats")
    found = {name.lower(): each for name, each in stats.items()}
    vsim: dict[str, float] = found.get("cmdstat_vsim", {"usec": 0, "calls": 0})
    return vsim


async def redis_idle_s(url: str, count: int) -> list[float]:
    from redis.asyncio import Redis  # noqa: PLC0415 - as above

    async with Redis.from_url(url) as client:
        return await _timed(client.ping, count)


async def postgres_idle_s(url: str, count: int) -> list[float]:
    from psycopg import AsyncConnection  # noqa: PLC0415 - as above

    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        return await _timed(lambda: connection.execute("SELECT 1"), count)


async def _timed(call: Callable[[], Awaitable[object]], count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        await call()
        seconds.append(time.perf_counter() - started)
    return seconds


async def redis_mb(url: str) -> float:
    from redis.asyncio import Redis  # noqa: PLC0415 - as above

    async with Redis.from_url(url) as client:
        return float((await client.info("memory"))["used_memory"]) / 1024 / 1024


async def postgres_ms(
    url: str, service: str, space: EmbeddingSpace, vectors: Sequence[Sequence[float]], k: int
) -> float:
    """The median of EXPLAIN ANALYZE's planning and execution of the statement of a search."""
    from psycopg import sql  # noqa: PLC0415 - as above

    from app.rag.shared.postgres.connection import Connection  # noqa: PLC0415
    from app.rag.shared.postgres.index import search_of, search_values  # noqa: PLC0415
    from app.rag.shared.postgres.tables import published  # noqa: PLC0415

    async with await Connection.connect(url) as connection:
        table = await published(connection, service, space)
        if table is None:
            raise LookupError("Postgres has no published table of this run")
        statement = sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + search_of(table)
        times = []
        for vector in vectors:
            found = await connection.execute(statement, search_values(service, space, vector, k))
            times.append(_explained_ms(await found.fetchone()))
    return median(times)


def _explained_ms(row: Any) -> float:  # noqa: ANN401 - JSON
    ((plan,),) = row
    return float(plan["Planning Time"] + plan["Execution Time"])


async def postgres_mb(url: str) -> float:
    from psycopg import AsyncConnection  # noqa: PLC0415 - as above

    async with await AsyncConnection.connect(url) as connection:
        found = await connection.execute("SELECT pg_database_size(current_database())")
        row = await found.fetchone()
    return float(row[0]) / 1024 / 1024 if row else 0.0
