"""Reads secrets from files, one per variable, as Kubernetes and Compose mount them."""

from collections.abc import Callable
from pathlib import Path

from app.configuration.text_file import NotTextError, SourceError, read_text


def mounted(directory: str, is_wanted: Callable[[str], bool]) -> dict[str, str]:
    """Read the files that have the name of a variable, in either case; ignore all others."""
    try:
        files = [file for file in Path(directory).iterdir() if is_wanted(file.name.upper())]
    except OSError as error:
        raise SourceError("SECRETS_DIR", f"cannot read {directory}: {error.strerror}") from None
    return {file.name.upper(): _content(file) for file in files}


def _content(file: Path) -> str:
    try:
        return read_text(file)
    except NotTextError as error:
        raise SourceError("SECRETS_DIR", f"{file} {error}") from None
