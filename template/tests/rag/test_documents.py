import os
from pathlib import Path

import pytest

from app.rag import documents
from app.rag.documents import Document, read_folder

Warnings = list[tuple[str, str]]


def read(folder: Path) -> tuple[list[Document], Warnings]:
    warnings: Warnings = []
    found = list(read_folder(folder, warn=lambda name, why: warnings.append((name, why))))
    return found, warnings


def names_of(folder: Path) -> list[str]:
    return [document.name for document in read_folder(folder)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good document, beside which a test puts a bad one."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "good.md").write_text("good")
    return tmp_path / "docs"


def test_every_text_below_the_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b.md", "guides/deploy.MD", "a.txt", "image.png", ".git/x.md", ".hidden.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "folder.md").mkdir()
    assert names_of(tmp_path) == ["a.txt", "b.md", "guides/deploy.MD"]


def test_a_folder_below_a_hidden_one_is_not_hidden(tmp_path: Path) -> None:
    folder = tmp_path / ".data" / "docs"
    folder.mkdir(parents=True)
    (folder / "a.md").write_text("text")
    assert names_of(folder) == ["a.md"]


def test_a_byte_that_is_not_utf8_does_not_cost_the_rest(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_bytes(b"\xef\xbb\xbfcaf\xe9 text")
    found, warnings = read(tmp_path)
    assert found == [Document("a.md", "caf\ufffd text")]
    assert warnings == [("a.md", "it is not UTF-8: 1 characters are lost")]


def test_a_folder_that_is_not_there_has_no_documents(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere") == ([], [])


@pytest.mark.parametrize(
    ("content", "text"),
    [
        pytest.param("\ufeffcafé".encode(), "café", id="UTF-8 with a mark"),
        pytest.param("café".encode("utf-16"), "café", id="UTF-16 with a mark"),
        pytest.param(b"\xfe\xff" + "café".encode("utf-16-be"), "café", id="UTF-16, big end first"),
        pytest.param("café".encode("utf-32"), "café", id="UTF-32 with a mark"),
        pytest.param(b"a\r\nb\rc\n", "a\nb\nc\n", id="other line ends"),
        pytest.param("\ufffd and so on".encode(), "\ufffd and so on", id="U+FFFD itself"),
        pytest.param(b"", "", id="empty"),
    ],
)
def test_text_is_decoded_without_a_warning(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "a.md").write_bytes(content)
    assert read(tmp_path) == ([Document("a.md", text)], [])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", id="picture"),
        pytest.param(bytes(range(128, 256)), id="bytes that are not UTF-8"),
        pytest.param("café".encode("utf-16-le"), id="UTF-16 without a mark"),
        pytest.param(b"text\0text", id="NUL"),
        pytest.param("Привет".encode("koi8-r"), id="another code page"),
    ],
)
def test_a_file_that_is_no_text_is_left_out_with_a_warning(folder: Path, content: bytes) -> None:
    (folder / "bad.md").write_bytes(content)
    found, warnings = read(folder)
    assert found == [Document("good.md", "good")]
    assert [name for name, why in warnings if "not text" in why] == ["bad.md"]


def unreadable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bad.md").write_text("secret")
    refuse(monkeypatch, "bad.md", PermissionError(13, "Permission denied"))


def vanished(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "bad.md").write_text("text")
    refuse(monkeypatch, "bad.md", FileNotFoundError(2, "No such file or directory"))


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError) -> None:
    """The superuser may read every file, so the error is raised here."""
    opened = Path.open

    def open_it(path: Path, mode: str = "r") -> object:
        if path.name == name:
            raise error
        return opened(path, mode)

    monkeypatch.setattr(Path, "open", open_it)


def dangling(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / "bad.md").symlink_to("nowhere.md")


def looping(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / "bad.md").symlink_to("bad.md")


def leading_outside(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder.parent / "secret.md").write_text("secret")
    (folder / "bad.md").symlink_to("../secret.md")


def beside(folder: Path, _: pytest.MonkeyPatch) -> None:
    """The name of the other folder begins with the name of this one."""
    (folder.parent / "docs-internal").mkdir()
    (folder.parent / "docs-internal" / "secret.md").write_text("secret")
    (folder / "bad.md").symlink_to("../docs-internal/secret.md")


def a_pipe(folder: Path, _: pytest.MonkeyPatch) -> None:
    os.mkfifo(folder / "bad.md")


def a_link_to_a_device(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / "bad.md").symlink_to("/dev/zero")


def too_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MAX_BYTES", 100)
    (folder / "bad.md").write_text("x" * 101)


def a_linked_folder(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder.parent / "other").mkdir()
    (folder / "bad.md").symlink_to("../other", target_is_directory=True)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (unreadable, "Permission denied"),
        (vanished, "No such file"),
        (dangling, "No such file"),
        (looping, "Too many levels of symbolic links"),
        (leading_outside, "outside of the folder"),
        (beside, "outside of the folder"),
        (a_pipe, "not a regular file"),
        (a_link_to_a_device, "outside of the folder"),
        (too_large, "more than 100 bytes"),
        (a_linked_folder, "links to folders are not followed"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_cannot_be_read_is_left_out_with_a_warning(
    folder: Path, monkeypatch: pytest.MonkeyPatch, make: object, reason: str
) -> None:
    assert callable(make)
    make(folder, monkeypatch)
    found, warnings = read(folder)
    assert found == [Document("good.md", "good")]
    ((name, why),) = warnings
    assert name == "bad.md"
    assert reason in why


def test_a_name_that_is_not_utf8_is_left_out_with_a_warning(folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.md")).write_text("text")
    assert read(folder) == (
        [Document("good.md", "good")],
        [("caf\\udce9.md", "its name is not UTF-8")],
    )


def test_files_in_a_folder_with_a_name_that_is_not_utf8_are_left_out_one_by_one(
    folder: Path,
) -> None:
    inner = folder / os.fsdecode(b"\xe9")
    inner.mkdir()
    (inner / "a.md").write_text("text")
    found, warnings = read(folder)
    assert [document.name for document in found] == ["good.md"]
    assert [name for name, _ in warnings] == ["\\udce9/a.md"]


def test_links_inside_the_folder_are_followed(folder: Path) -> None:
    """As Kubernetes mounts a ConfigMap: each file is a link into a hidden folder."""
    (folder / "..2026_01_31").mkdir()
    (folder / "..2026_01_31" / "a.md").write_text("text")
    (folder / "..data").symlink_to("..2026_01_31")
    (folder / "a.md").symlink_to("..data/a.md")
    assert read(folder) == ([Document("a.md", "text"), Document("good.md", "good")], [])


def test_the_folder_itself_may_be_a_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to("docs")
    assert names_of(folder.parent / "link") == ["good.md"]


def test_a_folder_that_cannot_be_listed_costs_only_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "closed").mkdir()
    listed = os.scandir

    def list_it(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return listed(path)

    monkeypatch.setattr(os, "scandir", list_it)
    assert read(folder) == ([Document("good.md", "good")], [("closed", "Permission denied")])


def test_a_folder_that_cannot_be_listed_at_all_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def list_it(path: str) -> object:
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", list_it)
        with pytest.raises(PermissionError):
            list(read_folder(folder))
