"""Secrets as files, one for each variable: how Kubernetes and Compose hand them to a container."""

from collections.abc import Collection
from pathlib import Path

from app.configuration.unreadable import Unreadable


def mounted(directory: str, wanted: Collection[str]) -> dict[str, str]:
    """Read the files that are named like a variable, in either case; others are somebody else's."""
    try:
        files = [file for file in Path(directory).iterdir() if file.name.upper() in wanted]
        return {file.name.upper(): file.read_text(encoding="utf-8").strip() for file in files}
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable("SECRETS_DIR", f"cannot read {directory}: {_reason(error)}") from None


def _reason(error: OSError | UnicodeDecodeError) -> str:
    # A decoding error repeats what it could not decode.
    return error.strerror or "?" if isinstance(error, OSError) else "a file is not UTF-8"
