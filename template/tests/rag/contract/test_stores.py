"""The promises of `app.rag.searchable.Searchable`, for each store."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from app.errors import ProviderUnavailableError
from app.rag.searchable import Searchable
from app.rag.types import Embedded
from app.rag.vectors import normalised
from tests.rag.bag_of_words import BagOfWords
from tests.rag.contract.processes import Store

ALL = ["cat", "cat dog", "dog"]


async def ids(library: Searchable, question: str = "cat", k: int = 2) -> list[str]:
    return [scored.chunk.id for scored in await library.search(question, k)]


async def settled(library: Searchable, expected: list[str], question: str = "cat") -> None:
    """A search finds the expected chunks, soon: a store may index in the background."""
    async with asyncio.timeout(10):
        while await ids(library, question) != expected:  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.01)


class Mixture:
    """Vectors around a few centres; the texts are their numbers."""

    def __init__(self, count: int = 300, dimension: int = 32, centres: int = 12) -> None:
        random = np.random.default_rng(7)
        middles = random.standard_normal((centres, dimension))
        spread = 0.5 * random.standard_normal((count, dimension))
        self.rows = (middles[random.integers(0, centres, count)] + spread).astype(np.float32)

    async def __call__(self, texts: Sequence[str]) -> Embedded:
        return Embedded("mixture", [self.rows[int(text)].tolist() for text in texts])

    def nearest(self, row: int, k: int) -> list[int]:
        units = normalised(self.rows)
        return [int(each) for each in np.argsort(-(units @ units[row]), kind="stable")[:k]]


async def test_95_of_100_chunks_are_those_of_an_exact_search(store: Store, tmp_path: Path) -> None:
    folder, mixture, k = tmp_path / "many", Mixture(), 10
    folder.mkdir()
    for number in range(len(mixture.rows)):
        (folder / f"{number}.md").write_text(str(number))
    hits = 0
    async with store.process(folder, mixture) as library:
        for question in range(20):
            found = await library.search(str(question), k)
            exact = mixture.nearest(question, k)
            hits += len({int(scored.chunk.text) for scored in found} & set(exact))
            scores = [scored.score for scored in found]
            assert scores == sorted(scores, reverse=True)
            assert scores[0] == pytest.approx(1, abs=0.01)
    assert hits >= 0.95 * 20 * k


async def test_a_score_is_the_cosine(store: Store, folder: Path) -> None:
    (folder / "d.md").write_text("bird")
    async with store.process(folder, BagOfWords()) as library:
        found = await library.search("cat", 9)
    scores = {scored.chunk.text: scored.score for scored in found}
    expected = {"cat": 1.0, "cat dog": 0.7071, "dog": 0.0, "bird": 0.0}
    assert scores == pytest.approx(expected, abs=0.01)


async def test_equal_texts_are_found_under_all_their_names(store: Store, folder: Path) -> None:
    (folder / "z.md").write_text("cat")
    async with store.process(folder, BagOfWords()) as library:
        assert await ids(library) == ["a.md/1", "z.md/1"]


async def test_a_question_is_compared_with_vectors_of_its_own_model(
    store: Store, folder: Path
) -> None:
    embed = BagOfWords()
    async with store.process(folder, embed) as library:
        await ids(library)
        # The same dimension, and other meanings: compared with the old vectors, "dog" would win.
        embed.model, embed.words = "new", ("dog", "bird", "fish", "cat")
        await settled(library, ["a.md/1", "b.md/1"])


async def test_another_dimension_is_another_space(store: Store, folder: Path) -> None:
    embed = BagOfWords()
    async with store.process(folder, embed) as library:
        await ids(library)
        embed.words = ("dog", "cat")
        await settled(library, ["a.md/1", "b.md/1"])


async def test_a_search_during_an_indexing_finds_the_chunks_before_it(
    store: Store, folder: Path
) -> None:
    async with store.process(folder, BagOfWords()) as serving:
        await ids(serving)
        (folder / "a.md").unlink()
        (folder / "d.md").write_text("cat cat cat cat dog")
        slow = BagOfWords(opens=asyncio.Event(), slow_texts={"cat cat cat cat dog"})
        async with store.process(folder, slow) as rebuilding:
            building = asyncio.create_task(ids(rebuilding))
            await slow.waits.wait()
            assert await ids(serving) == ["a.md/1", "b.md/1"]
            assert slow.opens is not None
            slow.opens.set()
            assert set(await building) <= {"a.md/1", "b.md/1", "d.md/1"}
            await settled(rebuilding, ["d.md/1", "b.md/1"])


async def test_a_removed_document_is_not_found_by_the_next_process(
    store: Store, folder: Path
) -> None:
    async with store.process(folder, BagOfWords()) as library:
        await ids(library)
    (folder / "a.md").unlink()
    async with store.process(folder, BagOfWords()) as library:
        await settled(library, ["b.md/1", "c.md/1"])


async def test_a_folder_that_became_empty_has_no_chunks(store: Store, folder: Path) -> None:
    async with store.process(folder, BagOfWords()) as library:
        await ids(library)
    for name in "abc":
        (folder / f"{name}.md").unlink()
    embed = BagOfWords()
    async with store.process(folder, embed) as library:
        assert (await ids(library), embed.calls) == ([], [])


async def test_after_a_restart_only_changed_texts_are_embedded(store: Store, folder: Path) -> None:
    async with store.process(folder, BagOfWords()) as library:
        await ids(library)
    (folder / "b.md").write_text("cat cat dog")
    (folder / "c.md").rename(folder / "renamed.md")
    embed = BagOfWords()
    async with store.process(folder, embed) as library:
        await settled(library, ["a.md/1", "b.md/1"])
        await settled(library, ["renamed.md/1", "b.md/1"], "dog")
    assert [text for text in embed.asked if text not in {"cat", "dog"}] == ["cat cat dog"]


async def test_indexing_the_same_documents_again_changes_nothing(
    store: Store, folder: Path
) -> None:
    answers = []
    for _ in range(3):
        async with store.process(folder, BagOfWords()) as library:
            answers.append(await library.search("cat", 9))
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == len(ALL)


async def test_an_indexing_that_failed_in_the_middle_is_continued(
    store: Store, folder: Path
) -> None:
    for number in range(20):
        (folder / f"{number}.md").write_text("dog " * (number + 2) + "cat")
    embed = BagOfWords(broken=ProviderUnavailableError("down"), broken_above=8)
    async with store.process(folder, embed) as library:
        with pytest.raises(ProviderUnavailableError):
            await ids(library)
        assert not await library.is_ready()
        embed.broken = None
        embed.calls.clear()
        assert await ids(library) == ["a.md/1", "b.md/1"]
        assert await library.is_ready()
    assert max(map(len, embed.calls)) == len(ALL) + 20 - 8  # a sample of 8 was embedded before


async def test_services_with_different_names_share_nothing(store: Store, folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    (other / "x.md").write_text("cat")
    async with (
        store.process(folder, BagOfWords()) as one,
        store.process(other, BagOfWords(), name="two") as two,
    ):
        assert await ids(one) == ["a.md/1", "b.md/1"]
        assert await ids(two) == ["x.md/1"]
        assert await ids(one) == ["a.md/1", "b.md/1"]


async def test_processes_that_begin_together_answer_alike_and_one_builds(
    store: Store, folder: Path
) -> None:
    embeds = [BagOfWords() for _ in range(3)]
    async with (
        store.process(folder, embeds[0]) as one,
        store.process(folder, embeds[1]) as two,
        store.process(folder, embeds[2]) as three,
    ):
        answers = await asyncio.gather(*(ids(library) for library in (one, two, three)))
    assert answers == [["a.md/1", "b.md/1"]] * 3
    paid = [text for embed in embeds for call in embed.calls if len(call) > 1 for text in call]
    assert sorted(paid) == sorted(ALL * (1 if store.is_shared else 3))


async def test_without_documents_no_provider_is_called(store: Store, tmp_path: Path) -> None:
    empty, embed = tmp_path / "empty", BagOfWords()
    empty.mkdir()
    async with store.process(empty, embed) as library:
        assert (await ids(library), embed.calls) == ([], [])
        assert await library.is_ready()
