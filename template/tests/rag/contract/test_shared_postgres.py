"""Documents in Postgres: broken-off builds, lost tables, bad numbers, two real processes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psycopg
import pytest

from app.errors import DocumentsNotReadyError
from app.rag.shared.postgres import publication
from app.rag.types import Embed, Embedded
from app.testing import CapturedLogs
from tests.rag.bag_of_words import BagOfWords
from tests.rag.contract.processes import PostgresStore
from tests.rag.contract.test_stores import ALL, Mixture, ids, settled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[3]


async def query(store: PostgresStore, statement: str, *values: object) -> list[tuple[object, ...]]:
    connection = await psycopg.AsyncConnection.connect(
        store.url, autocommit=True, client_encoding="UTF8"
    )
    async with connection:
        cursor = await connection.execute(statement.encode(), values)
        return await cursor.fetchall() if cursor.description else []


async def tables(store: PostgresStore) -> set[str]:
    """The tables of published chunks, of all services."""
    rows = await query(store, "SELECT relname FROM pg_class WHERE relkind = 'r'")
    return {str(name) for (name,) in rows if re.fullmatch(r"documents_\w+_\d+", str(name))}


async def end_lease(store: PostgresStore, holder: str | None = None) -> None:
    statement = "UPDATE documents_services SET lease = %s WHERE service = %s"
    await query(store, statement, holder, f"{store.prefix}-app")


async def test_the_work_of_a_dead_builder_is_continued(
    database: PostgresStore, folder: Path
) -> None:
    for number in range(8):
        (folder / f"{number}.md").write_text("dog " * (number + 2) + "cat")
    first = BagOfWords(opens=asyncio.Event(), slow_texts={"dog"})
    async with database.process(folder, first) as process:
        asking = asyncio.create_task(ids(process))
        await first.waits.wait()  # the sample is stored, the second batch is on its way
        asking.cancel()
        await end_lease(database)  # as it expires
        second = BagOfWords()
        async with database.process(folder, second) as other:
            assert await ids(other) == ["a.md/1", "b.md/1"]
    stored = {text for call in first.calls[:-1] if len(call) > 1 for text in call}
    assert stored
    assert not stored & {text for call in second.calls if len(call) > 1 for text in call}


async def test_a_builder_that_lost_its_lease_publishes_nothing(
    database: PostgresStore, folder: Path
) -> None:
    slow = BagOfWords(opens=asyncio.Event(), slow_texts={"dog"})
    async with database.process(folder, slow) as process:
        asking = asyncio.create_task(ids(process))
        await slow.waits.wait()
        await end_lease(database, "another process")
        assert slow.opens is not None
        slow.opens.set()
        with pytest.raises(DocumentsNotReadyError, match="Another process"):
            await asking
    rows = await query(
        database,
        "SELECT lease, generation FROM documents_services JOIN documents_spaces USING (service)"
        " WHERE service = %s",
        f"{database.prefix}-app",
    )
    assert rows == [("another process", None)]


@pytest.mark.parametrize(
    "few", [pytest.param(0.0, id="in a new table"), pytest.param(9.0, id="in the published table")]
)
async def test_removed_renamed_and_new_texts_are_published_at_once(
    database: PostgresStore, folder: Path, monkeypatch: pytest.MonkeyPatch, few: float
) -> None:
    monkeypatch.setattr(publication, "_FEW", few)
    before = await tables(database)
    async with database.process(folder, BagOfWords()) as process:
        await ids(process)
    (first,) = await tables(database) - before
    (folder / "a.md").unlink()
    (folder / "b.md").rename(folder / "renamed.md")
    (folder / "new.md").write_text("cat cat dog")
    async with database.process(folder, BagOfWords()) as process:
        await settled(process, ["new.md/1", "renamed.md/1"])
        async with asyncio.timeout(60):
            while len(await tables(database) - before) > 1:  # noqa: ASYNC110 - in another process
                await asyncio.sleep(0.05)
    (chunks,) = await tables(database) - before
    assert (chunks == first) == (few > 1)
    rows = await query(database, f"SELECT content FROM {chunks} ORDER BY content")  # noqa: S608
    assert rows == [("cat cat dog",), ("cat dog",), ("dog",)]


@pytest.mark.parametrize("loss", ["DROP TABLE", "TRUNCATE"])
async def test_an_index_that_was_removed_is_built_again(
    database: PostgresStore, folder: Path, logs: CapturedLogs, loss: str
) -> None:
    before = await tables(database)
    async with database.process(folder, BagOfWords()) as process:
        await ids(process)
        (chunks,) = await tables(database) - before
        await query(database, f"{loss} {chunks}")
        with pytest.raises(DocumentsNotReadyError, match="changing"):
            await ids(process)
        assert await ids(process) == ["a.md/1", "b.md/1"]
    assert len(logs.events("retrieval.index_lost")) == 1


async def test_vectors_of_any_length_have_the_scores_of_their_directions(
    database: PostgresStore, folder: Path
) -> None:
    vectors = {
        "cat": [3e6, 0.0, 0.0],  # too large for 16 bits, too small, and no direction
        "cat dog": [0.0, 2e-9, 0.0],
        "dog": [0.0, 0.0, 0.0],
    }

    async def embed(texts: Sequence[str]) -> Embedded:
        return Embedded("odd", [vectors[text] for text in texts])

    async with database.process(folder, embed) as process:
        found = {each.chunk.text: each.score for each in await process.search("cat", 3)}
        assert found == pytest.approx({"cat": 1.0, "cat dog": 0.0, "dog": 0.0}, abs=0.01)
        assert {each.score for each in await process.search("dog", 3)} == {0.0}


def numbered(folder: Path, count: int, chars: int = 0) -> Path:
    """Texts that begin with their numbers; the other characters cannot be compressed."""
    folder.mkdir()
    random = np.random.default_rng(7)
    for number in range(count):
        (folder / f"{number}.md").write_text(f"{number} {random.bytes(chars // 2).hex()}")
    return folder


def by_number(mixture: Mixture) -> Embed:
    async def embed(texts: Sequence[str]) -> Embedded:
        return await mixture([text.split()[0] for text in texts])

    return embed


async def test_a_search_by_the_index_finds_as_many_chunks_as_are_asked_for(
    database: PostgresStore, tmp_path: Path
) -> None:
    """Without the settings of a search, 40 candidates are all that the index has."""
    database.url += "&" if "?" in database.url else "?"
    database.url += "options=-c%20enable_seqscan%3Doff%20-c%20enable_sort%3Doff"
    async with database.process(numbered(tmp_path / "many", 300), by_number(Mixture())) as process:
        assert len(await process.search("0", 50)) == 50


async def test_a_search_of_2000_chunks_does_not_read_all_vectors(
    database: PostgresStore, tmp_path: Path
) -> None:
    """Beside texts of this length, Postgres would move the vectors out of the rows."""
    before, folder = await tables(database), numbered(tmp_path / "many", 2000, chars=1100)
    async with database.process(folder, by_number(Mixture(2000, 768))) as process:
        await process.search("0", 10)
    (chunks,) = await tables(database) - before
    plan = await query(
        database,
        f"EXPLAIN SELECT content FROM {chunks} ORDER BY embedding <#>"  # noqa: S608 - a test's table
        f" (SELECT embedding FROM {chunks} LIMIT 1) LIMIT 10",
    )
    assert "Index Scan using" in str(plan)


async def test_more_dimensions_than_an_index_has_are_searched_without_one(
    database: PostgresStore, folder: Path
) -> None:
    places = {text: place for place, text in enumerate(ALL)}

    async def embed(texts: Sequence[str]) -> Embedded:
        rows = [[0.0] * 5000 for _ in texts]
        for row, text in zip(rows, texts, strict=True):
            row[places[text]] = 1.0
        return Embedded("wide", rows)

    async with database.process(folder, embed) as process:
        assert await ids(process, k=1) == ["a.md/1"]


async def test_after_sigkill_in_the_middle_another_process_embeds_only_the_others(
    database: PostgresStore, folder: Path
) -> None:
    for number in range(40):
        (folder / f"{number}.md").write_text("dog " * (number + 2) + "cat")
    command = [sys.executable, "-m", "tests.rag.contract.postgres_builder"]
    command += [database.url, database.prefix, str(folder)]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    with subprocess.Popen(  # noqa: ASYNC220, S603 - this Python, with arguments of this file
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
    ) as builder:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "a sample is stored\n"
        builder.send_signal(signal.SIGKILL)
    embed = BagOfWords()
    async with database.process(folder, embed) as process, asyncio.timeout(120):
        while True:
            try:
                assert await ids(process) == ["a.md/1", "b.md/1"]
                break
            except DocumentsNotReadyError:  # until the lease of the dead process ends
                await asyncio.sleep(1)
    paid = [text for call in embed.calls if len(call) > 1 for text in call]
    assert len(paid) == len(ALL) + 40 - 8
