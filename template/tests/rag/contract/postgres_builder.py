"""A process that stores a sample of the documents, says so, and then waits to be killed."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from app.rag.types import Embedded
from tests.rag.bag_of_words import BagOfWords
from tests.rag.contract.processes import PostgresStore

_words = BagOfWords()


async def _embed(texts: Sequence[str]) -> Embedded:
    if len(texts) > 8:
        print("a sample is stored", flush=True)  # noqa: T201
        await asyncio.Event().wait()
    return await _words(texts)


async def _main(url: str, prefix: str, folder: str) -> None:
    async with PostgresStore(url, prefix).process(Path(folder), _embed) as process:
        await process.search("cat", 1)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
