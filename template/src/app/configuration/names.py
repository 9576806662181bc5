"""The names of the environment variables, derived from the paths of the settings' fields."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType

from pydantic import BaseModel

from app.configuration import clients, providers

FieldPath = tuple[str, ...]

# Mappings from names, which the configuration chooses, to settings.
_NAMED = {clients.FIELD, providers.FIELD}


@cache  # a start asks for these hundreds of times
def variables(settings_cls: type[BaseModel]) -> Mapping[str, FieldPath]:
    """All variables, with the field that each of them sets, in the order of the settings.

    A field of a group that is also a setting outside the group is filled from that setting: there
    is one `TEMPERATURE`, and not one for each provider. The variables `PROVIDERS__<NAME>__…` and
    `CLIENTS__<NAME>__…` are not included, because their names depend on the configuration.
    """
    fields = settings_cls.model_fields
    paths: list[FieldPath] = []
    for name, field in fields.items():
        if dataclasses.is_dataclass(field.default):
            parts = [part.name for part in dataclasses.fields(field.default) if _is_setting(part)]
            paths += [(name, part) for part in parts if part not in fields]
        elif name not in _NAMED:
            paths.append((name,))
    return MappingProxyType({variable(path): path for path in paths})


def _is_setting(part: "dataclasses.Field[object]") -> bool:
    return bool(part.metadata.get("setting", True))


def groups(settings_cls: type[BaseModel]) -> set[str]:
    """The prefixes of other names: LOG, of LOG_LEVEL and LOG_FORMAT."""
    fields = settings_cls.model_fields.items()
    found = {name.upper() for name, field in fields if dataclasses.is_dataclass(field.default)}
    return found | {name.upper() for name, _ in fields if name in _NAMED}


def path_of(name: str, settings_cls: type[BaseModel]) -> FieldPath | None:
    """The path of the field that a variable (in upper case) sets, or `None`."""
    return variables(settings_cls).get(name) or providers.path_of(name) or clients.path_of(name)


def variable(path: Iterable[int | str]) -> str:
    parts = [part for part in path if isinstance(part, str)]
    if parts[:1] == [providers.FIELD] and len(parts) > 1:
        return providers.variable_of(parts)
    if parts[:1] == [clients.FIELD] and len(parts) > 1:
        return clients.variable_of(parts)
    return "_".join(parts).upper()


def nearest(name: str, known: Iterable[str], *, likeness: float = 0.6) -> str | None:
    """The known name that is most similar, if its similarity (0 to 1) is at least `likeness`."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=likeness)
    return near[0] if near else None
