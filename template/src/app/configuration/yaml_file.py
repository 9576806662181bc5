"""Settings from a YAML file: groups are nested, keys are the names of fields, in lower case."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic_settings import BaseSettings

from app.configuration import names
from app.configuration.layer import Nested, YAMLLayer, put
from app.configuration.unreadable import Unreadable


def from_yaml(settings_cls: type[BaseSettings], path: Path) -> YAMLLayer:
    """Keep what is no setting under its whole key, for the settings to refuse: a typo is not silent.

    A key without a value means the default. Raises `Unreadable`.
    """
    known = set(names.variables(settings_cls).values())
    values: Nested = {}
    for key, value in _leaves(_read(path), known):
        put(values, key if key in known else (".".join(key),), value)
    return YAMLLayer(settings_cls, str(path), values)


def _leaves(
    found: Nested, known: set[names.FieldPath], above: names.FieldPath = ()
) -> Iterator[tuple[names.FieldPath, object]]:
    for key, value in found.items():
        path = (*above, str(key))
        if isinstance(value, dict) and path not in known:
            yield from _leaves(value, known, path)
        elif value is not None:
            yield path, value


def _read(path: Path) -> Nested:
    try:
        text = path.read_text(encoding="utf-8")
        _refuse_odd_keys(yaml.compose(text, yaml.SafeLoader))
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise Unreadable("CONFIG_FILE", f"line {line} of {path}: {error.problem}") from None
    except (OSError, UnicodeDecodeError, RecursionError, yaml.YAMLError) as error:
        raise Unreadable("CONFIG_FILE", f"cannot read {path} ({type(error).__name__})") from None
    if not isinstance(found, dict | None):
        raise Unreadable("CONFIG_FILE", f"{path} must consist of keys and values")
    return found or {}


def _refuse_odd_keys(node: yaml.Node | None) -> None:
    """YAML takes the last of two equal ones, in silence. Whoever wrote the first meant it too."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=key.start_mark)
        if key.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"the key {key.value} is there twice", problem_mark=key.start_mark
            )
        seen.add(key.value)
        _refuse_odd_keys(value)
