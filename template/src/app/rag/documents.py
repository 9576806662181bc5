"""Reads the documents: the Markdown and text files of a folder."""

import codecs
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = {".md", ".txt"}
# The longest books have a tenth of this size. A larger file is a log or a dump.
MAX_BYTES = 16 * 1024 * 1024
# Less than a tenth of Latin-1 prose is invalid UTF-8. A file above this share is not text.
_MAX_LOST_SHARE = 0.3
# UTF-32 comes first: its little-endian mark begins with the mark of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


@dataclass(frozen=True, slots=True)
class Document:
    """`name` is the path below the folder, with slashes: `guides/deploy.md`."""

    name: str
    text: str


Warn = Callable[[str, str], None]  # the name of a file, and the reason why it is left out


class UnusableFileError(ValueError):
    """The file cannot be used as a document. The message has the reason."""


def ignored(_name: str, _why: str, /) -> None:
    """No-op hook."""


def read_folder(folder: Path, *, warn: Warn = ignored) -> Iterator[Document]:
    """Read all Markdown and text files below the folder, in the order of their names.

    Hidden files and folders are skipped, because tools write them. A file that cannot be read is
    skipped and reported to `warn`, because the other files can still be searched. Links to files
    are followed inside the folder only. A folder that does not exist has no documents.

    Raises an `OSError` if the folder exists and cannot be listed.
    """
    if not folder.exists():
        return
    root = Path(os.path.realpath(folder))
    # As strings: 100,000 paths take more memory than the whole service.
    for below in sorted(_files_below(root, warn), key=_parts):
        name = below.replace(os.sep, "/")
        try:
            text, lost = _decoded(_content(_target(root / below, name, root)))
        except OSError as error:
            warn(printable(name), error.strerror or type(error).__name__)
        except UnusableFileError as error:
            warn(printable(name), str(error))
        else:
            if lost:
                warn(name, f"it is not UTF-8: {lost} characters are lost")
            yield Document(name, text)


def printable(name: str) -> str:
    """Escape the bytes of a file name that are not UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode()


def _parts(below: str) -> str:
    """Sorts as the parts of the path do: the files of a folder stand together."""
    return below.replace(os.sep, "\0")


def _files_below(root: Path, warn: Warn) -> Iterator[str]:
    def unreadable(error: OSError) -> None:
        if error.filename == str(root):
            raise error
        name = os.path.relpath(error.filename, root)
        warn(printable(name), error.strerror or type(error).__name__)

    for place, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for link in (Path(place, name) for name in folders if Path(place, name).is_symlink()):
            warn(printable(str(link.relative_to(root))), "links to folders are not followed")
        here = os.path.relpath(place, root)
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                yield os.path.join(here, name).removeprefix("." + os.sep)  # noqa: PTH118


def _target(path: Path, name: str, root: Path) -> Path:
    """Follow links. Raises an `OSError` or `UnusableFileError`."""
    if printable(name) != name:
        raise UnusableFileError("its name is not UTF-8")
    target = Path(os.path.realpath(path, strict=True))
    if not target.is_relative_to(root):
        raise UnusableFileError("it is a link to a file outside of the folder")
    return target


def _content(path: Path) -> bytes:
    """Read a regular file. Reading a device may never end; opening a pipe waits for a writer."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise UnusableFileError("it is not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UnusableFileError(f"it has more than {MAX_BYTES} bytes")
    return content


def _decoded(content: bytes) -> tuple[str, int]:
    """Decode UTF-8, or the encoding of the byte order mark; also count the lost characters.

    A byte that cannot be decoded becomes U+FFFD, because the remaining text is still worth finding.
    """
    mark = next((mark for mark in _MARKS if content.startswith(mark)), b"")
    content, encoding = content.removeprefix(mark), _MARKS.get(mark, "utf-8")
    try:
        text, lost = content.decode(encoding), 0
    except UnicodeDecodeError:
        text = content.decode(encoding, errors="replace")
        lost = text.count("\ufffd")
    if "\0" in text or lost > len(text) * _MAX_LOST_SHARE:
        raise UnusableFileError("it is not text in UTF-8, or in UTF-16 with a byte order mark")
    return text.replace("\r\n", "\n").replace("\r", "\n"), lost
