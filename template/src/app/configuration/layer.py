"""One place where settings were found, and what was found there.

A layer is read when it is made, and remembers where: merged settings no longer know.
"""

from collections.abc import Iterable, Mapping

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.configuration import names

Nested = dict[str, object]

ENVIRONMENT = "environment"


class Layer(PydanticBaseSettingsSource):
    """Values by the path of their field; `origin` is the name of the place, for people."""

    def __init__(self, settings_cls: type[BaseSettings], origin: str, values: Nested) -> None:
        super().__init__(settings_cls)
        self.origin = origin
        self.values = values

    def __call__(self) -> Nested:
        return self.values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """What the base class would ask for, field by field, if `__call__` were its own."""
        del field
        return self.values.get(field_name), field_name, False

    def has(self, path: names.FieldPath) -> bool:
        found: object = self.values
        for part in path:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return True

    def place(self, path: names.FieldPath) -> str:
        """Where exactly the value is, for somebody who wants to change it."""
        del path  # a variable has the name of its field, wherever it is
        return self.origin


class YAMLLayer(Layer):
    def place(self, path: names.FieldPath) -> str:
        return f"{self.origin}: {'.'.join(path)}"


def from_variables(
    settings_cls: type[BaseSettings], origin: str, found: Mapping[str, str | None]
) -> Layer:
    """Take the variables that are ours; an empty one means the default.

    `RETRY__MAX_ATTEMPTS` is the explicit spelling of `RETRY_MAX_ATTEMPTS`, which wins over it. A
    group alone (`LOG=debug`) is kept as it is, for the settings to refuse.
    """
    given = {name.upper(): value for name, value in found.items() if value}
    given = {name.replace("__", "_", 1): value for name, value in given.items()} | given
    values: Nested = {name.lower(): given[name] for name in names.groups(settings_cls) & set(given)}
    for name, path in names.variables(settings_cls).items():
        if name in given:
            put(values, path, given[name])
    return Layer(settings_cls, origin, values)


def put(values: Nested, path: names.FieldPath, value: object) -> None:
    for part in path[:-1]:
        group = values.setdefault(part, {})
        if not isinstance(group, dict):
            return  # the group itself was given a value, and will be refused
        values = group
    values[path[-1]] = value


def merged(layers: Iterable[Layer]) -> Nested:
    """What the layers say together; earlier ones win."""
    values: Nested = {}
    for layer in reversed(list(layers)):
        values = _over(layer.values, values)
    return values


def _over(upper: Nested, lower: Nested) -> Nested:
    together = lower | upper
    for key, value in upper.items():
        if isinstance(value, dict) and isinstance(below := lower.get(key), dict):
            together[key] = _over(value, below)
    return together
