"""The end of a start with a wrong configuration: everything that is wrong, by name, without values."""

import sys
from collections.abc import Iterable, Sequence
from typing import NoReturn

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from app.configuration import names
from app.configuration.layer import ENVIRONMENT, Layer

EX_CONFIG = 78  # sysexits.h: the program is fine, its configuration is not


def problems(
    error: ValidationError, settings_cls: type[BaseModel], layers: Sequence[Layer]
) -> list[str]:
    """Write one line for each thing that is wrong: its variable and its file, never its value."""
    lines = [
        _problem(found, settings_cls) + _place(found["loc"], layers)
        for found in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return list(dict.fromkeys(lines))


def _problem(found: ErrorDetails, settings_cls: type[BaseModel]) -> str:
    name = names.variable(found["loc"]) or "settings"
    if found["type"] == "extra_forbidden":
        return _unknown(str(found["loc"][-1]), settings_cls)
    if name in names.groups(settings_cls):
        return f"{name}: is no variable of its own; the ones meant are {name}_…"
    return f"{name}: {found['msg'].removeprefix('Value error, ')}"


def _unknown(key: str, settings_cls: type[BaseModel]) -> str:
    known = {".".join(path) for path in names.variables(settings_cls).values()}
    near = names.nearest(key.lower(), known)
    return f"{key}: is no setting; " + (f"did you mean {near}?" if near else "see .env.example")


def _place(loc: tuple[int | str, ...], layers: Sequence[Layer]) -> str:
    """Name the file, and the key in it. Who sets a variable of the environment knows where."""
    path = tuple(part for part in loc if isinstance(part, str))
    layer = next((layer for layer in layers if layer.has(path)), None)
    return "" if layer is None or layer.origin == ENVIRONMENT else f" ({layer.place(path)})"


def refuse(lines: Iterable[str]) -> NoReturn:
    report = [
        "The service cannot start with this configuration:",
        *(f"  {line}" for line in lines),
        "See .env.example for what each variable means.",
    ]
    sys.stderr.write("\n".join(report) + "\n")
    raise SystemExit(EX_CONFIG)
