from pathlib import Path

import numpy as np
import pytest

from app.rag.store import UnreadableStoreError, VectorStore
from app.rag.types import EmbeddingSpace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index"


@pytest.fixture
def store() -> VectorStore:
    known = VectorStore()
    known.learn("m", ["a", "b"], [[3.0, 4.0], [0.0, 2.0]])
    return known


def test_stored_vectors_are_normalised(store: VectorStore) -> None:
    assert store.rows(["b", "a"]) == pytest.approx(np.array([[0.0, 1.0], [0.6, 0.8]]))


def test_a_saved_index_is_loaded(store: VectorStore, path: Path) -> None:
    store.save(path)
    loaded = VectorStore.load(path)
    assert loaded.space == EmbeddingSpace("m", 2)
    assert loaded.rows(["a", "b"]).tolist() == store.rows(["a", "b"]).tolist()
    assert [file.name for file in path.parent.iterdir()] == ["index"]


@pytest.mark.parametrize(
    ("model", "row"),
    [
        pytest.param("other", [1.0, 1.0], id="another model"),
        pytest.param("m", [1.0, 1.0, 1.0], id="another dimension"),
    ],
)
def test_vectors_of_two_spaces_are_never_together(
    store: VectorStore, model: str, row: list[float]
) -> None:
    store.learn(model, ["c"], [row])
    assert ("a" in store, "c" in store) == (False, True)
    assert store.space == EmbeddingSpace(model, len(row))


def test_no_byte_can_be_changed_unnoticed(store: VectorStore, path: Path) -> None:
    store.save(path)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(UnreadableStoreError):
            VectorStore.load(path)


@pytest.mark.parametrize("length", [0, 1, 40, 100, -1])
def test_half_a_file_is_none(store: VectorStore, path: Path, length: int) -> None:
    store.save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(UnreadableStoreError):
        VectorStore.load(path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    store: VectorStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(path)
    old = path.read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    store.learn("m", ["c"], [[1.0, 0.0]])
    with pytest.raises(OSError, match="No space"):
        store.save(path)
    assert path.read_bytes() == old
    assert list(path.parent.iterdir()) == [path]


def test_only_the_vectors_to_keep_remain(store: VectorStore) -> None:
    store.keep_only(["a", "x"])
    assert (len(store), "a" in store) == (1, True)
