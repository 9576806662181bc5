"""A process that `scripts.bench.stores` measures: the service's imports, one library, one store.

One process builds the index, and another one searches: so the memory of the second is that of a
replica, which finds the index of another one.
"""

import asyncio
import json
import os
import re
import sys
import time
from array import array
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from app.backend import Shared
from app.errors import DocumentsNotReadyError
from app.main import create_app
from app.rag.answering import open_library
from app.rag.policy import DocumentsPolicy
from app.rag.searchable import Searchable
from app.rag.types import Embedded, EmbeddingSpace, ScoredChunk
from app.settings import Settings
from scripts.bench.relay import Traffic, relayed
from scripts.bench.store_clocks import (
    postgres_idle_s,
    postgres_mb,
    postgres_ms,
    redis_idle_s,
    redis_mb,
    redis_ms,
)

_FLOAT_BYTES = 4
_MODEL = "mixture"
_WARM = 20  # searches before those that are timed
_COUNTED = 20


@dataclass(frozen=True, slots=True)
class Task:
    """What the process measures. `prefix` names the index in the server."""

    action: str
    store: str
    directory: Path
    url: str
    prefix: str
    dimension: int
    chunks: int
    questions: int
    k: int

    @classmethod
    def decode(cls, text: str) -> "Task":
        values = json.loads(text)
        return cls(**{**values, "directory": Path(values["directory"])})

    @property
    def asked(self) -> range:
        """The rows of the questions: those after the chunks."""
        return range(self.chunks, self.chunks + self.questions)


class _Rows:
    """The vectors of a file, by the number that a text begins with; a question is a number.

    `embedded` counts the texts.
    """

    def __init__(self, task: Task) -> None:
        self._file = (task.directory / "vectors").open("rb")
        self._bytes = task.dimension * _FLOAT_BYTES
        self.embedded = 0

    async def __call__(self, texts: Sequence[str]) -> Embedded:
        self.embedded += sum(" " in text for text in texts)
        return Embedded(_MODEL, [self.row(int(text.split()[0])) for text in texts])

    def row(self, number: int) -> list[float]:
        self._file.seek(number * self._bytes)
        row = array("f")
        row.frombytes(self._file.read(self._bytes))
        return row.tolist()


@asynccontextmanager
async def _opened(task: Task, embed: _Rows, url: str) -> AsyncIterator[Searchable]:
    folder = task.directory / "docs"
    if task.store == "memory":
        policy = DocumentsPolicy(dir=folder, index_path=task.directory / "index")
        async with open_library(policy, embed, None) as library:
            yield library
        return
    if task.store == "postgres":
        policy = DocumentsPolicy(
            store="postgres", dir=folder, postgres_url=SecretStr(url), postgres_prefix=task.prefix
        )
        async with open_library(policy, embed, None) as library:
            yield library
        return
    policy = DocumentsPolicy(store="redis", dir=folder)
    async with _redis(url, task.prefix) as redis, open_library(policy, embed, redis) as library:
        yield library


def _redis(url: str, prefix: str) -> AbstractAsyncContextManager[Shared]:
    from app.redis.client import open_redis  # noqa: PLC0415 - for this store only

    return open_redis(url, prefix)


async def _build(task: Task) -> dict[str, object]:
    embed = _Rows(task)
    async with _opened(task, embed, task.url) as library:
        started = time.perf_counter()
        await _until_ready(library, "0", task.k)
        build_s = time.perf_counter() - started
    return {"build_s": build_s, "embedded": embed.embedded, "peak_mb": _memory("VmHWM")}


async def _until_ready(library: Searchable, question: str, k: int) -> list[ScoredChunk]:
    """Search until there is an index: a caller is refused after half a minute."""
    while True:
        try:
            return await library.search(question, k)
        except DocumentsNotReadyError:
            await asyncio.sleep(1)


async def _search(task: Task) -> dict[str, object]:
    embed = _Rows(task)
    async with _opened(task, embed, task.url) as library:
        for number in task.asked[:_WARM]:
            await _until_ready(library, str(number), task.k)
        searching = _Searching(library, task)
        if task.store == "redis":
            server_ms: float | None = await redis_ms(task.url, searching.run)
        else:
            await searching.run()
            server_ms = None
        memory = {"resident_mb": _memory("VmRSS"), "peak_mb": _memory("VmHWM")}
    return {**searching.measured, **memory, **await _of_server(task, embed, server_ms)}


class _Searching:
    """The questions, one after another, with the time of each."""

    def __init__(self, library: Searchable, task: Task) -> None:
        self._library = library
        self._task = task
        self.measured: dict[str, object] = {}

    async def run(self) -> None:
        seconds, found, refused = [], [], 0
        busy_s = time.process_time()
        for number in self._task.asked:
            started = time.perf_counter()
            try:
                answer = await self._library.search(str(number), self._task.k)
            except DocumentsNotReadyError:  # on a busy machine a store may be too late
                refused += 1
                answer = await _until_ready(self._library, str(number), self._task.k)
            else:
                seconds.append(time.perf_counter() - started)
            found.append([int(scored.chunk.text.split()[0]) for scored in answer])
        busy_s = time.process_time() - busy_s
        self.measured = {
            "seconds": seconds,
            "found": found,
            "refused": refused,
            "cpu_ms": busy_s * 1000 / len(self._task.asked),
            "load": os.getloadavg()[0],
        }


async def _of_server(task: Task, embed: _Rows, server_ms: float | None) -> dict[str, object]:
    if task.store == "memory":
        return {}
    if task.store == "postgres":
        vectors = [embed.row(number) for number in task.asked]
        space = EmbeddingSpace(_MODEL, task.dimension)
        server_ms = await postgres_ms(task.url, task.prefix, space, vectors, task.k)
    megabytes = await (redis_mb if task.store == "redis" else postgres_mb)(task.url)
    idle = await (redis_idle_s if task.store == "redis" else postgres_idle_s)(
        task.url, task.questions
    )
    return {
        "server_ms": server_ms,
        "server_mb": megabytes,
        "idle_seconds": idle,
        **await _traffic(task, embed),
    }


async def _traffic(task: Task, embed: _Rows) -> dict[str, object]:
    """The round trips and bytes of a search: the median of some."""
    async with relayed(task.url) as relay, _opened(task, embed, relay.url) as library:
        await _until_ready(library, str(task.asked[0]), task.k)
        costs = []
        for number in task.asked[:_COUNTED]:
            before = relay.traffic.since(Traffic())
            await library.search(str(number), task.k)
            costs.append(relay.traffic.since(before))
    middle = len(costs) // 2
    return {
        "round_trips": sorted(cost.round_trips for cost in costs)[middle],
        "sent_bytes": sorted(cost.sent_bytes for cost in costs)[middle],
        "received_bytes": sorted(cost.received_bytes for cost in costs)[middle],
    }


def _memory(kind: str) -> float:
    """From Linux: `getrusage` has the peak of the process that started this one, too."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(rf"{kind}:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


async def _main(task: Task) -> None:
    app = create_app(Settings())  # as much memory as the service takes
    action: Any = {"build": _build, "search": _search}[task.action]
    measured = await action(task)
    print(json.dumps({**measured, "routes": len(app.routes)}))


if __name__ == "__main__":
    asyncio.run(_main(Task.decode(sys.argv[1])))
