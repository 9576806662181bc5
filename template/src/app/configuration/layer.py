"""A layer: the settings found in one source, such as the environment or a file.

A layer stores the name of its source, because merged settings no longer contain it.
"""

from collections.abc import Iterable, Mapping

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.configuration import names
from app.configuration.plain_value import Flawed, plain

Nested = dict[str, object]

ENVIRONMENT = "environment"


class Layer(PydanticBaseSettingsSource):
    """Values by the path of their field; `origin` is the name of the source, for messages."""

    def __init__(self, settings_cls: type[BaseSettings], origin: str, values: Nested) -> None:
        super().__init__(settings_cls)
        self.origin = origin
        self.values = values

    def __call__(self) -> Nested:
        return self.values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """Required by the base class, but not used, because `__call__` is overridden."""
        del field
        return self.values.get(field_name), field_name, False

    def has(self, path: names.FieldPath) -> bool:
        found: object = self.values
        for part in path:
            if not isinstance(found, dict) or part not in found:
                return False
            found = found[part]
        return True

    def flaw(self, path: names.FieldPath) -> str | None:
        """Describe an error in the raw value, which is known before the settings validate it."""
        found: object = self.values
        for part in path:
            found = found.get(part) if isinstance(found, dict) else None
        return found.why if isinstance(found, Flawed) else None

    def place(self, path: names.FieldPath) -> str:
        """The exact place of the value, for the operator to change it."""
        del path  # a variable has the same name as its field in every source of variables
        return self.origin


class YAMLLayer(Layer):
    def place(self, path: names.FieldPath) -> str:
        return f"{self.origin}: {'.'.join(path)}"


def from_variables(
    settings_cls: type[BaseSettings], origin: str, found: Mapping[str, str | None]
) -> Layer:
    """Select the variables that are settings; an empty variable means the default.

    `RETRY__MAX_ATTEMPTS` is another spelling of `RETRY_MAX_ATTEMPTS`, which wins over it. The name
    of a group (`LOG=debug`) is kept, so that the settings refuse it.
    """
    meant = {name.upper(): plain(value) for name, value in found.items() if value}
    given = {name: value for name, value in meant.items() if value}
    given = {name.replace("__", "_", 1): value for name, value in given.items()} | given
    values: Nested = {name.lower(): given[name] for name in names.groups(settings_cls) & set(given)}
    for name, value in given.items():
        if (path := names.path_of(name, settings_cls)) is not None:
            put(values, path, value)
    return Layer(settings_cls, origin, values)


def put(values: Nested, path: names.FieldPath, value: object) -> None:
    for part in path[:-1]:
        group = values.setdefault(part, {})
        if not isinstance(group, dict):
            return  # the group itself has a value, which the settings will refuse
        values = group
    values[path[-1]] = value


def merged(layers: Iterable[Layer]) -> Nested:
    """The values of all layers; earlier layers win."""
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
