"""The folder of documents, as texts with names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = {".md", ".txt"}


@dataclass(frozen=True, slots=True)
class Document:
    """`name` is its path below the folder, with slashes: `guides/deploy.md`."""

    name: str
    text: str


def read_folder(folder: Path) -> Iterator[Document]:
    """Every Markdown and text file below the folder, in the order of their names.

    Hidden files and folders are somebody's tools, not documents. A folder that is not there has
    none; a byte that is not UTF-8 becomes a question mark, because the rest is still worth finding.
    """
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.suffix.lower() in SUFFIXES and path.is_file() and not _is_hidden(name):
            yield Document(name.as_posix(), path.read_text("utf-8-sig", errors="replace"))


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)
