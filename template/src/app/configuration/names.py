"""The names of all variables, derived from the settings: a name is the path of its field."""

import dataclasses
import difflib
from collections.abc import Iterable

from pydantic import BaseModel

FieldPath = tuple[str, ...]


def variables(settings_cls: type[BaseModel]) -> dict[str, FieldPath]:
    """Every variable and the field it sets, in the order of the settings.

    A part of a group that is also a setting of its own is filled from that one: there is one
    `TEMPERATURE`, not one for each provider.
    """
    fields = settings_cls.model_fields
    paths: list[FieldPath] = []
    for name, field in fields.items():
        if dataclasses.is_dataclass(field.default):
            parts = dataclasses.fields(field.default)
            paths += [(name, part.name) for part in parts if part.name not in fields]
        else:
            paths.append((name,))
    return {variable(path): path for path in paths}


def groups(settings_cls: type[BaseModel]) -> set[str]:
    """The names that stand in front of others: LOG of LOG_LEVEL and LOG_FORMAT."""
    fields = settings_cls.model_fields.items()
    return {name.upper() for name, field in fields if dataclasses.is_dataclass(field.default)}


def variable(path: Iterable[int | str]) -> str:
    return "_".join(part for part in path if isinstance(part, str)).upper()


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known name that was meant, when one is at least this alike (0 to 1)."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return near[0] if near else None
