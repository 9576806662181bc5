"""What processes promise that share one index, beside the contract."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import fakeredis
import pytest

from app.errors import DocumentsNotReadyError
from app.rag.shared import indexing
from app.rag.shared.redis.index import RedisIndex
from app.rag.shared.redis.store import DocumentStore
from app.rag.types import EmbeddingSpace
from app.testing import CapturedLogs
from tests.rag.bag_of_words import WORDS, BagOfWords
from tests.rag.contract.processes import RedisStore, SharedStore
from tests.rag.contract.test_stores import ALL, ids, settled

T = TypeVar("T")


@asynccontextmanager
async def stopped(shared: SharedStore, folder: Path, embed: BagOfWords) -> AsyncIterator[None]:
    """A process that has the lease and never goes on: its answers stay away."""
    embed.opens = asyncio.Event()
    embed.slow_texts = set(ALL[1:])
    async with shared.process(folder, embed) as process:
        asking = asyncio.create_task(ids(process))
        await embed.waits.wait()
        yield
        asking.cancel()
        await asyncio.wait({asking})


async def keys(client: fakeredis.FakeAsyncRedis, ending: str) -> list[str]:
    return [key.decode() async for key in client.scan_iter(f"*{ending}")]


async def test_a_process_without_a_folder_answers_from_the_index_of_another(
    shared: SharedStore, folder: Path
) -> None:
    embed = BagOfWords()
    async with shared.process(None, embed) as searching:
        with pytest.raises(DocumentsNotReadyError, match="DOCUMENTS_DIR"):
            await ids(searching)
        async with shared.process(folder, BagOfWords()) as building:
            await ids(building)
        found = await searching.search("cat", 2)
    assert [(each.chunk.id, each.chunk.text) for each in found] == [
        ("a.md/1", "cat"),
        ("b.md/1", "cat dog"),
    ]
    assert embed.calls == [["cat"]] * 2


async def test_another_process_waits_for_the_builder(shared: SharedStore, folder: Path) -> None:
    slow, waiting = BagOfWords(), BagOfWords()
    async with stopped(shared, folder, slow), shared.process(folder, waiting) as second:
        answer = asyncio.create_task(ids(second))
        await asyncio.sleep(0.1)
        assert not answer.done()
        assert slow.opens is not None
        slow.opens.set()
        assert await answer == ["a.md/1", "b.md/1"]
    assert waiting.calls == [["cat"]]


async def test_the_work_of_a_dead_builder_is_continued(
    replicas: RedisStore, folder: Path, client: fakeredis.FakeAsyncRedis
) -> None:
    for number in range(8):
        (folder / f"{number}.md").write_text("dog " * (number + 2) + "cat")
    first = BagOfWords(opens=asyncio.Event(), slow_texts={"dog"})
    async with replicas.process(folder, first) as process:
        asking = asyncio.create_task(ids(process))
        await first.waits.wait()  # the sample is stored, the second batch is on its way
        asking.cancel()
        (lease,) = await keys(client, "lease")
        await client.delete(lease)  # as it expires
        second = BagOfWords()
        async with replicas.process(folder, second) as other:
            assert await ids(other) == ["a.md/1", "b.md/1"]
    stored = {text for call in first.calls[:-1] if len(call) > 1 for text in call}
    assert stored
    assert not stored & {text for call in second.calls if len(call) > 1 for text in call}


async def test_a_builder_that_lost_its_lease_publishes_nothing(
    replicas: RedisStore, folder: Path, client: fakeredis.FakeAsyncRedis
) -> None:
    slow = BagOfWords(opens=asyncio.Event(), slow_texts={"dog"})
    async with replicas.process(folder, slow) as process:
        asking = asyncio.create_task(ids(process))
        await slow.waits.wait()
        (lease,) = await keys(client, "lease")
        await client.set(lease, "of another process")
        assert slow.opens is not None
        slow.opens.set()
        with pytest.raises(DocumentsNotReadyError, match="Another process"):
            await asking
    assert await keys(client, "published") == []
    assert await client.get(lease) == b"of another process"


async def test_removed_texts_leave_redis(
    replicas: RedisStore, folder: Path, client: fakeredis.FakeAsyncRedis
) -> None:
    async with replicas.process(folder, BagOfWords()) as process:
        await ids(process)
    (folder / "a.md").unlink()
    async with replicas.process(folder, BagOfWords()) as process:
        await settled(process, ["b.md/1", "c.md/1"])
        (vectors,) = await keys(client, "vectors")
        (texts,) = await keys(client, "texts")
        async with asyncio.timeout(10):
            while await client.vset().vcard(vectors) != 2:  # noqa: ASYNC110 - in another task
                await asyncio.sleep(0.01)
        assert await client.hlen(texts) == 2


async def test_chunks_of_an_unfinished_indexing_do_not_hide_those_of_the_published_one(
    shared: SharedStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shared.process(folder, BagOfWords()) as serving:
        await ids(serving)
        for number in range(40):  # all nearer to the question than the published chunks
            (folder / f"{number}.md").write_text("cat " * (number + 2))
        slow = BagOfWords(opens=asyncio.Event(), slow_texts={"fish"})
        (folder / "z.md").write_text("fish")
        monkeypatch.setattr(indexing, "_TEXTS_AT_ONCE", 1)
        async with shared.process(folder, slow) as building:
            asking = asyncio.create_task(ids(building))
            await slow.waits.wait()
            assert await ids(serving, k=3) == ["a.md/1", "b.md/1", "c.md/1"]
            asking.cancel()


class _Interrupted(DocumentStore):
    """A store that does something else between its next read and the one after it."""

    afterwards: Callable[[], Awaitable[None]] | None = None

    async def read(self, ask: Callable[[], Awaitable[T]]) -> T:
        answer = await super().read(ask)
        afterwards, self.afterwards = self.afterwards, None
        if afterwards is not None:
            await afterwards()
        return answer


async def test_a_search_that_began_before_a_switch_finds_nothing_of_afterwards(
    replicas: RedisStore, folder: Path
) -> None:
    space, vector = EmbeddingSpace("words", len(WORDS)), [1.0, 0.0, 0.0, 0.0]
    async with replicas.process(folder, BagOfWords()) as one:
        await ids(one)

        async def switch() -> None:
            (folder / "a.md").unlink()
            async with replicas.process(folder, BagOfWords()) as two:
                await settled(two, ["b.md/1", "c.md/1"])

        store = _Interrupted(replicas.opened[0])
        store.afterwards = switch
        assert (await RedisIndex(store).nearest(space, vector, 2)).chunks is None
        assert await ids(one) == ["b.md/1", "c.md/1"]


async def test_the_set_of_the_model_before_answers_its_questions_and_expires(
    replicas: RedisStore, folder: Path, client: fakeredis.FakeAsyncRedis
) -> None:
    old, new = BagOfWords(), BagOfWords(model="new")
    async with replicas.process(folder, old) as before, replicas.process(folder, new) as after:
        await ids(before)
        await ids(after)
        old.calls.clear()
        assert await ids(before) == await ids(after) == ["a.md/1", "b.md/1"]
        assert old.calls == [["cat"]]
    expiring = [0 < await client.ttl(key) <= 3600 for key in await keys(client, "vectors")]
    assert sorted(expiring) == [False, True]


async def test_models_that_change_with_each_call_pay_for_the_documents_twice_at_most(
    shared: SharedStore, folder: Path
) -> None:
    embed = BagOfWords()

    async def always_new(texts: Any) -> Any:
        embed.model = f"words-{len(embed.calls)}"
        return await embed(texts)

    async with shared.process(folder, always_new) as process:
        for _ in range(5):
            with pytest.raises(DocumentsNotReadyError):
                await ids(process)
    assert len([call for call in embed.calls if len(call) > 1]) <= 7


@pytest.mark.parametrize("lost", ["vectors", "texts", "ids:*"])
async def test_an_index_that_redis_has_evicted_is_built_again(
    replicas: RedisStore,
    folder: Path,
    client: fakeredis.FakeAsyncRedis,
    logs: CapturedLogs,
    lost: str,
) -> None:
    async with replicas.process(folder, BagOfWords()) as process:
        await ids(process)
        (key,) = await keys(client, lost)
        await client.delete(key)
        with pytest.raises(DocumentsNotReadyError, match="changing") as refusal:
            await ids(process)
        assert refusal.value.retry_after_s
        assert await ids(process) == ["a.md/1", "b.md/1"]
    assert len(logs.events("retrieval.index_lost")) == 1


async def test_another_folder_is_indexed_once_in_ten_minutes(
    shared: SharedStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a rolling update two versions have different documents: they do not switch in turn."""
    other = folder.parent / "other"
    other.mkdir()
    (other / "x.md").write_text("cat")
    async with (
        shared.process(folder, BagOfWords()) as one,
        shared.process(other, BagOfWords()) as two,
    ):
        await ids(one)
        await settled(two, ["x.md/1"])
        for _ in range(5):
            assert await ids(one) == ["x.md/1"]
            await asyncio.sleep(0.02)
        monkeypatch.setattr(one, "_clock", lambda: float("inf"))
        await settled(one, ["a.md/1", "b.md/1"])
