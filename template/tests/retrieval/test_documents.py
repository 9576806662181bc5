from pathlib import Path

from app.retrieval.documents import Document, read_folder


def test_every_text_below_the_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.md", "guides/deploy.MD", "a.txt", "image.png", ".git/x.md", ".hidden.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.md").mkdir()
    names = [document.name for document in read_folder(tmp_path)]
    assert names == ["a.txt", "b.md", "guides/deploy.MD"]


def test_a_folder_below_a_hidden_one_is_not_hidden(tmp_path: Path) -> None:
    folder = tmp_path / ".data" / "docs"
    folder.mkdir(parents=True)
    (folder / "a.md").write_text("text")
    assert [document.name for document in read_folder(folder)] == ["a.md"]


def test_a_byte_that_is_not_utf8_does_not_cost_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbfcaf\xe9 text")
    assert list(read_folder(tmp_path)) == [Document("a.md", "caf\ufffd text")]


def test_a_folder_that_is_not_there_has_no_documents(tmp_path: Path) -> None:
    assert list(read_folder(tmp_path / "nowhere")) == []
