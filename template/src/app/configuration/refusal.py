"""Stops the start with an invalid configuration: lists all errors by name, without values."""

import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.configuration import clients, names, providers
from app.configuration.layer import ENVIRONMENT, Layer
from app.validation import reason

_SPELLINGS = {
    providers.FIELD.upper(): providers.SPELLING,
    clients.FIELD.upper(): clients.SPELLING,
}

EX_CONFIG = 78  # sysexits.h: an error in the configuration, not in the program


def problems(
    error: ValidationError, settings_cls: type[BaseModel], layers: Sequence[Layer]
) -> list[str]:
    """Write one line per error, with the variable and its file, and without the value."""
    lines = [
        _problem(found, settings_cls, layers) + _place(found["loc"], layers)
        for found in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return list(dict.fromkeys(lines))


def _problem(found: ErrorDetails, settings_cls: type[BaseModel], layers: Sequence[Layer]) -> str:
    name = names.variable(found["loc"]) or "settings"
    path, layer = _source(found["loc"], layers)
    if layer is not None and (flaw := layer.flaw(path)):
        return f"{name}: {flaw}"
    if found["type"] == "extra_forbidden":
        return _unknown(str(found["loc"][-1]), settings_cls)
    if name in names.groups(settings_cls):
        meant = _SPELLINGS.get(name, f"{name}_…")
        return f"{name}: is not a variable; did you mean {meant}?"
    return f"{name}: {reason(found['msg'])}"


def _unknown(key: str, settings_cls: type[BaseModel]) -> str:
    known = {".".join(path) for path in names.variables(settings_cls).values()}
    near = names.nearest(key.lower(), known)
    return f"{key}: is not a setting; " + (f"did you mean {near}?" if near else "see .env.example")


def _place(loc: tuple[int | str, ...], layers: Sequence[Layer]) -> str:
    """Name the file and the key in it. For environment variables the name alone is enough."""
    path, layer = _source(loc, layers)
    return "" if layer is None or layer.origin == ENVIRONMENT else f" ({layer.place(path)})"


def _source(
    loc: tuple[int | str, ...], layers: Sequence[Layer]
) -> tuple[names.FieldPath, Layer | None]:
    path = tuple(part for part in loc if isinstance(part, str) and part != "facts")
    return path, next((layer for layer in layers if layer.has(path)), None)


def refuse(lines: Iterable[str]) -> NoReturn:
    report = [
        "The service cannot start with this configuration:",
        *(f"  {line}" for line in lines),
        "See .env.example for the meaning of each variable.",
    ]
    sys.stderr.write("\n".join(report) + "\n")
    raise SystemExit(EX_CONFIG)
