"""Cleans the value of a variable: drops spaces around it, refuses quotes and comments around it.

`docker run --env-file`, mounted files and secrets managers pass on quotes, comments and spaces that
a shell or Docker Compose would remove. Spaces and line ends are never intended, so they are
dropped. A quote or a comment may be a mistake in the value itself, so the value is refused.
"""

import re
from dataclasses import dataclass

_INVISIBLE = "\ufeff\u200b\u2060"
_QUOTES = "\"'`\u201c\u201d\u2018\u2019\u00ab\u00bb"


@dataclass(frozen=True, slots=True)
class Flawed:
    """An invalid value, with the reason: the settings refuse it with the name of the variable."""

    why: str


def plain(value: str) -> str | Flawed:
    stripped = value.strip().strip(_INVISIBLE).strip()
    if not stripped and value.strip("\r\n"):
        return Flawed("consists of spaces: remove them, or the variable")
    flaw = _flaw(stripped)
    return stripped if flaw is None else Flawed(flaw)


def _flaw(value: str) -> str | None:
    if value.startswith(tuple(_QUOTES)) or value.endswith(tuple(_QUOTES)):
        return "the quotes are part of the value (docker --env-file and secret files keep them): remove them"
    if re.search(r"(^|\s)#", value):
        return "the comment (#) is part of the value (docker --env-file keeps it): put it on a line of its own"
    if re.search(r"[\x00-\x1f\x7f]", value):
        return "has a line break or another control character in it: it must be one line"
    return None
