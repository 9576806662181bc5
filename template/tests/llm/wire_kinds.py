"""Every wrong form of every field of a wire type, made from the type itself.

Nothing here lists fields: a field that a wire type gains is tested from then on, and a sample that
lacks it fails `test_the_samples_have_every_field_of_the_wire_types`.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Required, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError
from typing_extensions import TypeAliasType, is_typeddict

Path = tuple[str | int, ...]

GONE = object()
# Each JSON type, the values that stand for "absent", and numbers that are no count.
WRONG: dict[str, object] = {
    "gone": GONE,
    "null": None,
    "empty text": "",
    "text": "odd",
    "number": 7,
    "zero": 0,
    "negative": -1,
    "fraction": 1.5,
    "whole float": 3.0,
    "numeric text": "3",
    "huge": 10**40,
    "true": True,
    "false": False,
    "empty list": [],
    "list of null": [None],
    "list of text": ["odd"],
    "list of numbers": [7],
    "empty object": {},
    "object": {"odd": 1},
}
ABSENT = {"gone", "null", "empty text", "false", "empty list", "empty object"}


@dataclass(frozen=True)
class Field:
    path: Path
    annotation: Any
    owner: Any = None

    @property
    def place(self) -> tuple[Any, str]:
        return self.owner, str(self.path[-1])

    @property
    def name(self) -> str:
        return ".".join(map(str, self.path))

    @property
    def is_required(self) -> bool:
        return get_origin(self.annotation) is Required

    @property
    def is_lax(self) -> bool:
        """Whether the type reads any wrong value as absent."""
        return self.annotation is JsonValue or self.read(object()) is None

    def read(self, value: object) -> object:
        """What the type makes of a value, `GONE` when it refuses it."""
        kind = get_args(self.annotation)[0] if self.is_required else self.annotation
        try:
            return _adapter(self.owner, str(self.path[-1]), kind).validate_python(value)
        except ValidationError:
            return GONE


_ADAPTERS: dict[tuple[Any, str], TypeAdapter[object]] = {}


def _adapter(owner: Any, name: str, kind: Any) -> TypeAdapter[object]:
    if (owner, name) not in _ADAPTERS:
        named: Any = TypeAliasType("field", kind)  # pyright: ignore[reportGeneralTypeIssues]
        _ADAPTERS[owner, name] = TypeAdapter(named, config=ConfigDict(strict=True))
    return _ADAPTERS[owner, name]


def fields(kind: Any, value: object, path: Path = ()) -> Iterator[Field]:
    """The fields of a type that `value` has, to any depth."""
    typed = _typed_dict(kind)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from fields(kind, item, (*path, index))
    elif typed is not None and isinstance(value, dict):
        for name, annotation in get_type_hints(typed, include_extras=True).items():
            if name in value:
                yield Field((*path, name), annotation, typed)
                yield from fields(annotation, value[name], (*path, name))


def names(kind: Any, known: frozenset[Any] = frozenset()) -> Iterator[tuple[Any, str]]:
    """All fields of a type, with the type that has them, whether a value has them or not."""
    typed = _typed_dict(kind)
    if typed is None or typed in known:
        return
    for name, annotation in get_type_hints(typed, include_extras=True).items():
        yield typed, name
        yield from names(annotation, known | {typed})


def _typed_dict(kind: Any) -> Any:
    """The `TypedDict` within `Annotated`, `Required`, a union or a list; the first one of several."""
    if is_typeddict(kind):
        return kind
    if kind is JsonValue or isinstance(kind, str):
        return None
    if get_origin(kind) in {Annotated, Required}:
        return _typed_dict(get_args(kind)[0])
    found = (_typed_dict(inner) for inner in get_args(kind))
    return next((typed for typed in found if typed is not None), None)


def changed(sample: object, path: Path, value: object) -> Any:
    """A copy of the sample with another value at a place, or with none."""
    result = copy.deepcopy(sample)
    place: Any = result
    for step in path[:-1]:
        place = place[step]
    if value is GONE:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return result


def with_unknown_fields(value: object) -> object:
    """A copy with a new field in every object, except in a tool's input, which is the model's."""
    if isinstance(value, dict):
        known = {k: v if k == "input" else with_unknown_fields(v) for k, v in value.items()}
        return {**known, "x_new": [{"odd": 1}]}
    return [with_unknown_fields(item) for item in value] if isinstance(value, list) else value
