"""The effective settings, and the source of each value."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from app.configuration import clients, names, providers
from app.configuration.layer import Layer

_CREDENTIALS = re.compile(r"//[^/@\s]+@")


@dataclass(frozen=True, slots=True)
class Row:
    variable: str
    value: object
    origin: str


def rows(settings: BaseSettings, layers: Sequence[Layer]) -> list[Row]:
    """One row per variable, in the order of the settings, with secrets masked."""
    variables = names.variables(type(settings)).items()
    shown = [Row(name, _shown(settings, path), _origin(path, layers)) for name, path in variables]
    named = [
        *providers.shown(getattr(settings, providers.FIELD)),
        *clients.shown(getattr(settings, clients.FIELD)),
    ]
    return shown + [
        Row(names.variable(path), _masked(value), _origin(path, layers, otherwise))
        for path, value, otherwise in named
    ]


def as_table(found: Iterable[Row]) -> str:
    lines = [("VARIABLE", "VALUE", "FROM")]
    lines += [(row.variable, _text(row.value), row.origin) for row in found]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    return "\n".join(
        f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}" for name, value, origin in lines
    )


def as_json(found: Iterable[Row]) -> str:
    shown = {row.variable: {"value": row.value, "from": row.origin} for row in found}
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _origin(path: names.FieldPath, layers: Sequence[Layer], otherwise: str = "default") -> str:
    layer = next((layer for layer in layers if layer.has(path)), None)
    return otherwise if layer is None else layer.place(path)


def _shown(settings: BaseSettings, path: names.FieldPath) -> object:
    value: object = settings
    for part in path:
        value = getattr(value, part)
    return _masked(value)


def _masked(value: object) -> object:
    if isinstance(value, SecretStr):
        return str(value)
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return _CREDENTIALS.sub("//***@", value) if isinstance(value, str) else value


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return ",".join(map(str, value))
    if isinstance(value, bool):
        return str(value).lower()
    return "-" if value is None else str(value)
