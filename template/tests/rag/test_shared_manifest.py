"""The list of a folder's chunks: the same fingerprint as ever, and small."""

import tracemalloc
from hashlib import sha256

from app.rag.chunks import Chunk
from app.rag.shared.ids import Ids
from app.rag.shared.manifest import Manifest


def key(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_ids_are_those_of_a_dict() -> None:
    pairs = [(key("b"), "z.md/1"), (key("a"), "ü.md/1"), (key("b"), "a.md/2"), (key("c"), "c/1")]
    ids = Ids(pairs)
    assert dict(ids) == {
        key("a"): ["ü.md/1"],
        key("b"): ["z.md/1", "a.md/2"],
        key("c"): ["c/1"],
    }
    assert len(ids) == 3
    assert [ids.position(each) for each in ids] == [0, 1, 2]
    assert key("d") not in ids
    assert ids.position(key("d")) is None


def test_without_chunks_there_are_no_ids() -> None:
    assert (list(Ids([])), key("a") in Ids([])) == ([], False)


def test_the_fingerprint_is_that_of_all_lines_in_order() -> None:
    """Replicas of two versions compare it, in a rolling update."""
    chunks = [Chunk("b.md/1", "same"), Chunk("a.md/1", "same"), Chunk("a.md.md/1", "other")]
    lines = sorted(f"{chunk.id}\0{chunk.key}\n" for chunk in chunks)
    assert Manifest.of(iter(chunks)).fingerprint == sha256("".join(lines).encode()).hexdigest()


def test_ten_thousand_ids_take_less_than_a_megabyte() -> None:
    tracemalloc.start()
    try:
        ids = Ids((key(str(number)), f"{number:07}.md/1") for number in range(10_000))
        used, _peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(ids) == 10_000
    assert used < 1_000_000
