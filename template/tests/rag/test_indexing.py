from collections.abc import Sequence
from pathlib import Path
from shutil import rmtree

import pytest

from app.errors import (
    DocumentsNotReadyError,
    LLMError,
    MalformedAnswerError,
    ProviderUnavailableError,
    RequestRefusedError,
)
from app.rag import indexing
from app.rag.indexing import Indexer
from app.rag.policy import DocumentsPolicy
from app.rag.store import Index
from app.rag.types import Embed, Embedded, EmbeddingSpace
from app.testing import CapturedLogs, FakeClock
from tests.rag.bag_of_words import BagOfWords


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
    assert [scored.chunk.id for scored in found.nearest([0, 0, 0, 1], 1)] == ["b.md/1"]
    (line,) = logs.events("retrieval.indexed")
    assert (line["chunks"], line["embedded"], line["left_out"]) == (3, 3, 0)


async def test_after_a_restart_only_changed_documents_are_embedded(
    policy: DocumentsPolicy, folder: Path
) -> None:
    await index(policy, BagOfWords())
    (folder / "a.md").write_text("# Pets\ncat dog\n# Birds\nbird bird")
    (folder / "b.md").rename(folder / "c.md")
    embed = BagOfWords()
    found = await index(policy, embed)
    assert embed.asked == ["Birds\n\nbird bird"]
    assert [chunk.id for chunk in found.chunks] == ["a.md#pets/1", "a.md#birds/1", "c.md/1"]


async def test_a_deleted_document_is_removed_from_the_index(
    policy: DocumentsPolicy, folder: Path
) -> None:
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


async def test_vectors_of_a_failed_attempt_are_kept(policy: DocumentsPolicy) -> None:
    embed = BagOfWords(fails={"fish": ProviderUnavailableError("down")})
    indexer = Indexer(policy, embed)
    with pytest.raises(ProviderUnavailableError):
        await indexer.index()
    embed.fails = {}
    assert texts(await indexer.index()) == ALL
    assert embed.calls == [ALL, ["fish"]]


async def test_a_piece_that_is_refused_is_left_out_and_not_asked_again(
    policy: DocumentsPolicy, logs: CapturedLogs
) -> None:
    embed = BagOfWords(fails={"fish": RequestRefusedError("too long")})
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


def in_turns(embed: BagOfWords) -> Embed:
    """A gateway to two models: each answers every other call."""

    async def embedded(texts: Sequence[str]) -> Embedded:
        embed.model = f"words-{len(embed.calls) % 2}"
        return await embed(texts)

    return embedded


async def test_alternating_models_do_not_cause_endless_embedding(
    policy: DocumentsPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_TEXTS_AT_ONCE", 2)
    embed = BagOfWords()
    with pytest.raises(DocumentsNotReadyError) as refusal:
        await Indexer(policy, in_turns(embed)).index()
    assert refusal.value.retry_after_s
    assert len(embed.calls) == 3


async def test_models_that_take_turns_are_paid_for_until_one_has_embedded_all(
    policy: DocumentsPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(indexing, "_TEXTS_AT_ONCE", 2)
    embed = BagOfWords()
    indexer = Indexer(policy, in_turns(embed))
    with pytest.raises(DocumentsNotReadyError):
        await indexer.index()
    assert texts(await indexer.index()) == ALL
    paid = len(embed.calls)
    await indexer.index()
    assert len(embed.calls) == paid


async def test_a_model_changes_once_an_hour_at_most(policy: DocumentsPolicy) -> None:
    clock = FakeClock()
    embed = BagOfWords()
    indexer = Indexer(policy, embed, clock=clock.monotonic)
    await indexer.index()
    indexer.change_to(EmbeddingSpace("new", 4))
    embed.model = "new"
    await indexer.index()
    with pytest.raises(DocumentsNotReadyError):
        indexer.change_to(EmbeddingSpace("words", 4))
    assert (await indexer.index()).space == EmbeddingSpace("new", 4)
    clock.now += 3600
    indexer.change_to(EmbeddingSpace("words", 4))
    embed.model = "words"
    assert (await indexer.index()).space == EmbeddingSpace("words", 4)


async def test_a_piece_without_a_usable_vector_is_paid_for_twice_and_left_out(
    policy: DocumentsPolicy, logs: CapturedLogs
) -> None:
    embed = BagOfWords(fails={"fish": MalformedAnswerError("zeros")})
    indexer = Indexer(policy, embed)
    with pytest.raises(MalformedAnswerError):
        await indexer.index()
    assert texts(await indexer.index()) == ALL[:2]
    await indexer.index()
    assert embed.calls == [ALL, ["fish"]]
    (line,) = logs.events("retrieval.left_out")
    assert (line["level"], line["name"], line["why"]) == ("warning", "b.md/1", "zeros")


async def test_documents_of_which_none_can_be_embedded_are_no_empty_index(
    policy: DocumentsPolicy,
) -> None:
    clock = FakeClock()
    embed = BagOfWords(fails=dict.fromkeys(ALL, RequestRefusedError("no such model")))
    indexer = Indexer(policy, embed, clock=clock.monotonic)
    for _ in range(3):
        with pytest.raises(MalformedAnswerError, match="None of the documents"):
            await indexer.index()
    assert embed.calls == [ALL]
    clock.now += 3600
    embed.fails = {}
    assert texts(await indexer.index()) == ALL


async def test_a_provider_that_refuses_all_is_asked_for_a_sample_only(
    folder: Path, policy: DocumentsPolicy
) -> None:
    pieces = [f"piece {number}" for number in range(100)]
    write(folder / "many.md", "\n".join(f"# {text}\n{text}" for text in pieces))
    embed = BagOfWords()
    embed.fails = AllRefused()
    indexer = Indexer(policy, embed)
    for _ in range(3):
        with pytest.raises(MalformedAnswerError, match="None of the documents"):
            await indexer.index()
    assert [len(call) for call in embed.calls] == [8]
    assert len({call for call in embed.calls[0] if "piece" in call}) > 5


async def test_many_pieces_are_embedded_after_a_sample(
    folder: Path, policy: DocumentsPolicy
) -> None:
    write(folder / "many.md", "\n".join(f"# {number}\ncat" for number in range(100)))
    embed = BagOfWords()
    assert len((await index(policy, embed)).chunks) == 103
    assert [len(call) for call in embed.calls] == [8, 95]
    assert len(set(embed.asked)) == 103


class AllRefused(dict[str, LLMError]):
    def get(self, _text: str, _default: object = None) -> LLMError:
        return RequestRefusedError("no embeddings here")


def write(path: Path, text: str) -> None:
    path.write_text(text)


async def test_a_document_that_cannot_be_read_is_named_once(
    policy: DocumentsPolicy, folder: Path, logs: CapturedLogs
) -> None:
    (folder / "c.md").symlink_to("nowhere")
    indexer = Indexer(policy, BagOfWords())
    for _ in range(3):
        assert texts(await indexer.index()) == ALL
    (line,) = logs.events("retrieval.left_out")
    assert (line["level"], line["name"]) == ("warning", "c.md")
    assert "No such file" in line["why"]


def replace_by_a_file(folder: Path) -> None:
    rmtree(folder)
    folder.write_text("no folder")


async def test_a_folder_that_cannot_be_listed_is_not_an_empty_one(
    policy: DocumentsPolicy, folder: Path
) -> None:
    replace_by_a_file(folder)
    with pytest.raises(DocumentsNotReadyError, match="cannot be read: Not a directory"):
        await index(policy, BagOfWords())


async def test_equal_pieces_have_one_vector(policy: DocumentsPolicy, folder: Path) -> None:
    (folder / "c.md").write_text("fish")
    found = await index(policy, BagOfWords())
    assert [scored.chunk.id for scored in found.nearest([0, 0, 0, 1], 2)] == ["b.md/1", "c.md/1"]


async def test_an_empty_folder_costs_nothing(tmp_path: Path) -> None:
    embed = BagOfWords()
    found = await index(DocumentsPolicy(dir=tmp_path), embed)
    assert (found.chunks, embed.calls) == ((), [])
