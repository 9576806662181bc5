import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.errors import DocumentsNotReady, ProviderUnavailable, RequestRefused
from app.retrieval.library import Library
from app.retrieval.policy import DocumentsPolicy
from app.testing import CapturedLogs
from tests.retrieval.bag_of_words import BagOfWords

Open = Callable[..., AbstractAsyncContextManager[Library]]


@pytest.fixture
def open_library(tmp_path: Path) -> Open:
    for name, text in {"a": "cat", "b": "cat dog", "c": "dog"}.items():
        (tmp_path / f"{name}.md").write_text(text)

    @asynccontextmanager
    async def opened(embed: BagOfWords, **more: Any) -> AsyncIterator[Library]:
        async with aclosing(Library(DocumentsPolicy(dir=tmp_path), embed, **more)) as library:
            yield library

    return opened


async def ids(library: Library, question: str = "cat") -> list[str]:
    return [hit.chunk.id for hit in await library.search(question, 2)]


async def test_nothing_happens_before_the_first_question(open_library: Open) -> None:
    embed = BagOfWords()
    async with open_library(embed) as library:
        assert (await library.is_ready(), embed.calls) == (False, [])
        assert await ids(library) == ["a.md/1", "b.md/1"]
        assert await library.is_ready()


async def test_the_folder_is_read_once_for_all_who_wait(open_library: Open) -> None:
    embed = BagOfWords()
    async with open_library(embed) as library:
        await asyncio.gather(*(ids(library) for _ in range(20)))
        assert embed.calls == [["cat", "cat dog", "dog"], *[["cat"]] * 20]


async def test_reading_goes_on_when_who_asked_has_left(open_library: Open) -> None:
    embed = BagOfWords(opens=asyncio.Event())
    async with open_library(embed) as library:
        asking = asyncio.create_task(ids(library))
        await embed.called.wait()
        asking.cancel()
        await asyncio.wait({asking})
        assert embed.opens is not None
        embed.opens.set()
        await ids(library)
        assert embed.calls == [["cat", "cat dog", "dog"], ["cat"]]


async def test_who_would_wait_long_is_told_to_come_back(open_library: Open) -> None:
    embed = BagOfWords(opens=asyncio.Event())
    async with open_library(embed, patience_s=0.01) as library:
        with pytest.raises(DocumentsNotReady, match="still being read") as refusal:
            await ids(library)
        assert refusal.value.retry_after_s


async def test_a_library_that_is_closed_while_it_reads_leaves_no_task(open_library: Open) -> None:
    before = asyncio.all_tasks()
    async with open_library(BagOfWords(opens=asyncio.Event()), patience_s=0.01) as library:
        with pytest.raises(DocumentsNotReady):
            await ids(library)
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


async def test_what_failed_is_tried_again_by_the_next_question(
    open_library: Open, logs: CapturedLogs
) -> None:
    embed = BagOfWords(broken=ProviderUnavailable("down"))
    async with open_library(embed) as library:
        with pytest.raises(ProviderUnavailable):
            await ids(library)
        embed.broken = None
        assert await ids(library) == ["a.md/1", "b.md/1"]
    assert [line["error"] for line in logs.events("retrieval.index_failed")] == [
        "ProviderUnavailable"
    ]


async def test_a_question_of_a_new_model_is_compared_with_new_vectors_only(
    open_library: Open,
) -> None:
    embed = BagOfWords()
    async with open_library(embed) as library:
        await ids(library)
        embed.model, embed.words = "new", ("dog", "bird", "fish", "cat")
        embed.calls.clear()
        answers = await asyncio.gather(*(ids(library) for _ in range(3)))
        assert answers == [["a.md/1", "b.md/1"]] * 3
        assert embed.calls.count(["cat", "cat dog", "dog"]) == 1


async def test_who_hears_late_of_a_new_model_finds_the_new_vectors(open_library: Open) -> None:
    embed = BagOfWords()
    async with open_library(embed) as library:
        await ids(library)
        embed.calls.clear()
        embed.called.clear()
        embed.opens = slow = asyncio.Event()
        late = asyncio.create_task(ids(library))
        await embed.called.wait()
        embed.opens, embed.model = None, "new"
        await ids(library)
        slow.set()
        assert await late == ["a.md/1", "b.md/1"]
        assert embed.calls.count(["cat", "cat dog", "dog"]) == 1


async def test_a_question_that_is_refused_is_the_callers_mistake(open_library: Open) -> None:
    async with open_library(BagOfWords(fails={"fish": RequestRefused("no")})) as library:
        with pytest.raises(RequestRefused):
            await ids(library, "fish")


async def test_without_documents_nobody_is_asked(tmp_path: Path) -> None:
    embed = BagOfWords()
    async with aclosing(Library(DocumentsPolicy(dir=tmp_path), embed)) as library:
        assert (await ids(library), embed.calls) == ([], [])
        assert await library.is_ready()


@pytest.mark.parametrize("previews", [True, False], ids=["with previews", "without"])
async def test_a_search_is_logged(
    open_library: Open, logs: CapturedLogs, *, previews: bool
) -> None:
    question = f"cat {'x' * 100}"
    async with open_library(BagOfWords(), previews=previews) as library:
        await ids(library, question)
    (line,) = logs.events("retrieval.search")
    assert (line["question_chars"], line["k"], line["found"]) == (104, 2, 2)
    assert line["scores"] == [1.0, 0.7071]
    assert line["latency_ms"] > 0
    assert line.get("question") == (question[:80] if previews else None)
    assert ("xxx" in logs.text) is previews
