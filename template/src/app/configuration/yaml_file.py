"""Reads settings from a YAML file: groups are nested, keys are field names in lower case."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from pydantic_settings import BaseSettings

from app.clients.keys import client_name
from app.configuration import clients, names, providers
from app.configuration.layer import Nested, YAMLLayer, put
from app.configuration.text_file import NotTextError, SourceError, read_text

_NAMED_DEPTH = 3  # providers: mistral: model
_SPELLINGS = {providers.FIELD: providers.canonical, clients.FIELD: client_name}


def from_yaml(settings_cls: type[BaseSettings], path: Path) -> YAMLLayer:
    """Read the file. Unknown keys are kept with their whole path, so that the settings refuse them.

    A key without a value means the default. Raises `SourceError`.
    """
    known = set(names.variables(settings_cls).values())
    values: Nested = {}
    for key, value in _leaves(_read(path), known):
        put(values, _path(key, known) or (".".join(key),), value)
    return YAMLLayer(settings_cls, str(path), values)


def _path(key: names.FieldPath, known: set[names.FieldPath]) -> names.FieldPath | None:
    """The field of a key; names of providers and clients may be spelled as in variables."""
    if key in known:
        return key
    spell = _SPELLINGS.get(key[0])
    if spell is not None and 1 < len(key) <= _NAMED_DEPTH:
        return (key[0], spell(key[1]), *key[2:])
    return None


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
        text = read_text(path)
        _refuse_odd_keys(yaml.compose(text, yaml.SafeLoader))
        found = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise SourceError("CONFIG_FILE", f"line {line} of {path}: {error.problem}") from None
    except NotTextError as error:
        raise SourceError("CONFIG_FILE", f"{path} {error}") from None
    except (RecursionError, yaml.YAMLError) as error:
        raise SourceError("CONFIG_FILE", f"cannot read {path} ({type(error).__name__})") from None
    if not isinstance(found, dict | None):
        raise SourceError("CONFIG_FILE", f"{path} must consist of keys and values")
    return found or {}


def _refuse_odd_keys(node: yaml.Node | None) -> None:
    """Refuse duplicate keys (YAML would silently use the last one) and keys that are not names."""
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[str] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be a name", problem_mark=key.start_mark)
        if key.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"the key {key.value} occurs twice", problem_mark=key.start_mark
            )
        seen.add(key.value)
        _refuse_odd_keys(value)
