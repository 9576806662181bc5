import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.errors import DocumentsNotReadyError, ProviderUnavailableError, RequestRefusedError
from app.rag.library import Library
from app.rag.policy import DocumentsPolicy
from app.rag.types import Embed, Embedded
from app.resilience import deadline
from app.testing import CapturedLogs
from tests.rag.bag_of_words import BagOfWords

Open = Callable[..., AbstractAsyncContextManager[Library]]


@pytest.fixture
def open_library(tmp_path: Path) -> Open:
    for name, text in {"a": "cat", "b": "cat dog", "c": "dog"}.items():
        (tmp_path / f"{name}.md").write_text(text)

    @asynccontextmanager
    async def opened(embed: Embed, **more: Any) -> AsyncIterator[Library]:
        async with aclosing(Library(DocumentsPolicy(dir=tmp_path), embed, **more)) as library:
            yield library

    return opened


async def ids(library: Library, question: str = "cat") -> list[str]:
    return [scored.chunk.id for scored in await library.search(question, 2)]


async def test_nothing_happens_before_the_first_question(open_library: Open) -> None:
    embed = BagOfWords()
    async with open_library(embed) as library:
        assert (await library.is_ready(), embed.calls) == (True, [])
        assert await ids(library) == ["a.md/1", "b.md/1"]
        assert await library.is_ready()


async def test_the_folder_is_read_once_for_all_waiting_callers(open_library: Open) -> None:
    embed = BagOfWords()
    async with open_library(embed) as library:
        await asyncio.gather(*(ids(library) for _ in range(20)))
        assert embed.calls == [["cat", "cat dog", "dog"], *[["cat"]] * 20]


async def test_reading_continues_after_its_caller_was_cancelled(open_library: Open) -> None:
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


async def test_a_caller_that_would_wait_long_gets_a_retry_after(open_library: Open) -> None:
    embed = BagOfWords(opens=asyncio.Event())
    async with open_library(embed, index_timeout_s=0.01) as library:
        with pytest.raises(DocumentsNotReadyError, match="still being read") as refusal:
            await ids(library)
        assert refusal.value.retry_after_s


async def test_a_library_that_is_closed_while_it_reads_leaves_no_task(open_library: Open) -> None:
    before = asyncio.all_tasks()
    async with open_library(BagOfWords(opens=asyncio.Event()), index_timeout_s=0.01) as library:
        with pytest.raises(DocumentsNotReadyError):
            await ids(library)
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


async def test_a_failed_reading_is_retried_by_the_next_question(
    open_library: Open, logs: CapturedLogs
) -> None:
    embed = BagOfWords(broken=ProviderUnavailableError("down"))
    async with open_library(embed) as library:
        with pytest.raises(ProviderUnavailableError):
            await ids(library)
        assert not await library.is_ready()
        embed.broken = None
        assert await ids(library) == ["a.md/1", "b.md/1"]
        assert await library.is_ready()
    assert [line["error"] for line in logs.events("retrieval.index_failed")] == [
        "ProviderUnavailableError"
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


async def test_a_caller_that_waited_for_a_new_model_finds_the_new_vectors(
    open_library: Open,
) -> None:
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


async def test_a_gateway_to_two_models_pays_for_the_documents_once(open_library: Open) -> None:
    embed = BagOfWords()

    async def in_turns(texts: Sequence[str]) -> Embedded:
        embed.model = f"words-{len(embed.calls) % 2}"
        return await embed(texts)

    async with open_library(in_turns) as library:
        for _ in range(5):
            assert await ids(library) == ["a.md/1", "b.md/1"]
    assert [call for call in embed.calls if len(call) > 1] == [["cat", "cat dog", "dog"]]


async def test_models_that_change_with_each_call_pay_for_the_documents_twice_at_most(
    open_library: Open,
) -> None:
    embed = BagOfWords()

    async def always_new(texts: Sequence[str]) -> Embedded:
        embed.model = f"words-{len(embed.calls)}"
        return await embed(texts)

    async with open_library(always_new) as library:
        for _ in range(5):
            with pytest.raises(DocumentsNotReadyError):
                await ids(library)
    assert len([call for call in embed.calls if len(call) > 1]) == 2


async def test_a_question_that_is_refused_is_the_callers_mistake(open_library: Open) -> None:
    async with open_library(BagOfWords(fails={"fish": RequestRefusedError("no")})) as library:
        with pytest.raises(RequestRefusedError):
            await ids(library, "fish")


async def test_without_documents_no_provider_is_called(tmp_path: Path) -> None:
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


async def test_the_folder_is_read_without_the_deadline_of_the_question(open_library: Open) -> None:
    bag, seen = BagOfWords(), []

    async def embed(texts: Sequence[str]) -> Embedded:
        seen.append((len(texts), deadline.current.get()))
        return await bag(texts)

    callers = deadline.Deadline(allowed_s=60, ends=asyncio.get_running_loop().time() + 60)
    token = deadline.current.set(callers)
    async with open_library(embed) as library:
        await ids(library)
    deadline.current.reset(token)
    assert seen == [(3, None), (1, callers)]
