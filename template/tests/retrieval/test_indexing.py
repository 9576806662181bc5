from collections.abc import Sequence
from pathlib import Path

import pytest

from app.errors import DocumentsNotReady, ProviderUnavailable, RequestRefused
from app.retrieval import indexing
from app.retrieval.index import Index
from app.retrieval.indexing import Embedded, Indexer
from app.retrieval.policy import DocumentsPolicy
from app.testing import CapturedLogs
from tests.retrieval.bag_of_words import BagOfWords


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# Pets\ncat dog\n# Birds\nbird")
    (docs / "b.md").write_text("fish")
    return docs


@pytest.fixture
def policy(folder: Path, tmp_path: Path) -> DocumentsPolicy:
    return DocumentsPolicy(dir=folder, index_path=tmp_path / "index")


async def index(policy: DocumentsPolicy, embed: BagOfWords) -> Index:
    return await Indexer(policy, embed).index()


def texts(found: Index) -> list[str]:
    return [chunk.text for chunk in found.chunks]


def files_below(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


ALL = ["Pets\n\ncat dog", "Birds\n\nbird", "fish"]


async def test_a_folder_becomes_an_index(policy: DocumentsPolicy, logs: CapturedLogs) -> None:
    found = await index(policy, BagOfWords())
    assert texts(found) == ALL
    assert [hit.chunk.id for hit in found.nearest([0, 0, 0, 1], 1)] == ["b.md/1"]
    (line,) = logs.events("retrieval.indexed")
    assert (line["chunks"], line["embedded"], line["left_out"]) == (3, 3, 0)


async def test_after_a_restart_only_what_changed_is_paid_for(
    policy: DocumentsPolicy, folder: Path
) -> None:
    await index(policy, BagOfWords())
    (folder / "a.md").write_text("# Pets\ncat dog\n# Birds\nbird bird")
    (folder / "b.md").rename(folder / "c.md")
    embed = BagOfWords()
    found = await index(policy, embed)
    assert embed.asked == ["Birds\n\nbird bird"]
    assert [chunk.id for chunk in found.chunks] == ["a.md#pets/1", "a.md#birds/1", "c.md/1"]


async def test_what_is_no_longer_there_is_not_kept(policy: DocumentsPolicy, folder: Path) -> None:
    await index(policy, BagOfWords())
    (folder / "b.md").write_text("cat fish")
    await index(policy, BagOfWords())
    (folder / "b.md").write_text("fish")
    embed = BagOfWords()
    await index(policy, embed)
    assert embed.asked == ["fish"]


async def test_a_new_model_makes_all_vectors_anew(policy: DocumentsPolicy, folder: Path) -> None:
    await index(policy, BagOfWords())
    (folder / "b.md").write_text("fish fish")
    embed = BagOfWords(model="new", words=("bird", "fish"))
    found = await index(policy, embed)
    assert embed.asked == ["fish fish", *ALL[:2]]
    assert found.space is not None
    assert (found.space.model, found.vectors.shape) == ("new", (3, 2))


async def test_a_damaged_file_is_made_anew(policy: DocumentsPolicy, logs: CapturedLogs) -> None:
    assert policy.index_path is not None
    policy.index_path.write_bytes(b"\x80\x04K\x01.")
    embed = BagOfWords()
    assert texts(await index(policy, embed)) == embed.asked == ALL
    assert len(logs.events("retrieval.index_unreadable")) == 1
    again = BagOfWords()
    await index(policy, again)
    assert again.calls == []


async def test_a_file_that_cannot_be_written_costs_no_answer(
    policy: DocumentsPolicy, logs: CapturedLogs
) -> None:
    assert policy.index_path is not None
    policy.index_path.mkdir()
    assert texts(await index(policy, BagOfWords())) == ALL
    assert len(logs.events("retrieval.index_not_saved")) == 1


async def test_without_a_file_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    before = files_below(tmp_path)
    assert texts(await index(DocumentsPolicy(dir=folder), BagOfWords())) == ALL
    assert files_below(tmp_path) == before


async def test_what_an_attempt_paid_for_is_not_paid_for_again(policy: DocumentsPolicy) -> None:
    embed = BagOfWords(fails={"fish": ProviderUnavailable("down")})
    indexer = Indexer(policy, embed)
    with pytest.raises(ProviderUnavailable):
        await indexer.index()
    embed.fails = {}
    assert texts(await indexer.index()) == ALL
    assert embed.calls == [ALL, ["fish"]]


async def test_a_piece_that_is_refused_is_left_out_and_not_asked_again(
    policy: DocumentsPolicy, logs: CapturedLogs
) -> None:
    embed = BagOfWords(fails={"fish": RequestRefused("too long")})
    indexer = Indexer(policy, embed)
    assert texts(await indexer.index()) == ALL[:2]
    await indexer.index()
    assert embed.calls == [ALL]
    assert logs.events("retrieval.indexed")[0]["left_out"] == 1


async def test_many_pieces_are_embedded_some_at_a_time(
    policy: DocumentsPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_TEXTS_AT_ONCE", 2)
    embed = BagOfWords()
    await index(policy, embed)
    assert embed.calls == [ALL[:2], ALL[2:]]


async def test_models_that_take_turns_are_not_paid_for_ever(
    policy: DocumentsPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_TEXTS_AT_ONCE", 2)
    embed = BagOfWords()

    async def in_turns(texts: Sequence[str]) -> Embedded:
        embed.model = f"words-{len(embed.calls) % 2}"
        return await embed(texts)

    with pytest.raises(DocumentsNotReady):
        await Indexer(policy, in_turns).index()
    assert len(embed.calls) == 3


async def test_equal_pieces_have_one_vector(policy: DocumentsPolicy, folder: Path) -> None:
    (folder / "c.md").write_text("fish")
    found = await index(policy, BagOfWords())
    assert [hit.chunk.id for hit in found.nearest([0, 0, 0, 1], 2)] == ["b.md/1", "c.md/1"]


async def test_an_empty_folder_costs_nothing(tmp_path: Path) -> None:
    embed = BagOfWords()
    found = await index(DocumentsPolicy(dir=tmp_path), embed)
    assert (found.chunks, embed.calls) == ((), [])
