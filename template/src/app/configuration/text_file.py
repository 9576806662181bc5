"""Reads a text file as editors save it: UTF-8, or UTF-16 with a byte order mark.

This module uses the standard library only, because `make doctor` reads `.env` with it before the
packages are installed.
"""

import codecs
from pathlib import Path

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class SourceError(Exception):
    """A source of settings cannot be read, so the settings cannot be validated."""

    def __init__(self, variable: str, why: str) -> None:
        super().__init__(f"{variable}: {why}")


class SourceUnavailableError(SourceError):
    """A temporary failure of a source: it does not answer, or answers that it is overloaded."""


class NotTextError(Exception):
    """The file cannot be read as text. The message has the reason and the fix, but no content."""


def read_text(path: Path) -> str:
    """Return the text without a byte order mark. Raises `NotTextError`."""
    try:
        if path.is_fifo():  # reading it would wait for a writer
            raise NotTextError("is a pipe: write the values into a file")
        content = path.read_bytes()
    except IsADirectoryError:
        raise NotTextError(
            "is a directory (Docker creates one when the file to mount is missing): remove it"
        ) from None
    except OSError as error:
        raise NotTextError(
            f"cannot be read ({error.strerror}): give the service's user permission to read it"
        ) from None
    return _decoded(content)


def _decoded(content: bytes) -> str:
    is_utf_16 = content.startswith(_UTF_16_MARKS)
    try:
        text = content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = "UTF-16" if is_utf_16 else "UTF-8"
        raise NotTextError(f"line {line} is not {found}: save it as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise NotTextError(
            f"line {line} has a NUL byte (UTF-16 without its mark?): save it as UTF-8"
        )
    return text
