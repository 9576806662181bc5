"""Reads `.env` files. Only lines that Docker Compose reads in the same way are accepted.

Otherwise a line could have one meaning in a container and another one outside.
"""

import os
import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream
from dotenv.variables import parse_variables

from app.configuration.text_file import NotTextError, SourceError, read_text

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_EXPANDED = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}")


def variables_in(path: Path) -> dict[str, str]:
    """Read the variables; none if there is no file. Raises `SourceError` for an ambiguous line."""
    if not os.path.lexists(path):
        return {}
    try:
        bindings = parse_stream(StringIO(read_text(path)))
    except NotTextError as error:
        raise SourceError(str(path), str(error)) from None
    found: dict[str, str] = {}
    for binding in bindings:
        if flaw := _flaw(binding):
            raise SourceError(str(path), f"line {_line(binding)} {flaw}")
        if binding.key is not None and binding.value is not None:
            found[binding.key] = _expanded(binding, {**found, **os.environ})
    return found


def _flaw(binding: Binding) -> str | None:
    if binding.error or (binding.key is not None and not _NAME.fullmatch(binding.key)):
        return "is not NAME=value: correct the line, or start it with #"
    if "$" in _EXPANDED.sub("", binding.value or "") and not _is_literal(binding):
        return "has a $, which Docker Compose expands: put the value in single quotes"
    return None


def _is_literal(binding: Binding) -> bool:
    return binding.original.string.partition("=")[2].lstrip().startswith("'")


def _expanded(binding: Binding, known: Mapping[str, str | None]) -> str:
    value = binding.value or ""
    if _is_literal(binding):
        return value
    return "".join(part.resolve(known) for part in parse_variables(value))


def _line(binding: Binding) -> int:
    """The line number of the entry: the parser counts the blank lines above it as part of it."""
    text = binding.original.string
    blank = text[: len(text) - len(text.lstrip())]
    return binding.original.line + blank.count("\n")
