"""Makes an example value for a JSON schema: always the same, and small but not empty."""

import math
import re
from typing import TYPE_CHECKING

from pydantic import JsonValue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JsonObject = dict[str, JsonValue]

_FORMATS = {
    "date": "2024-01-31",
    "date-time": "2024-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# Patterns cannot be inverted in general; these texts match common ones.
_PATTERN_GUESSES = (
    "mock",
    "Mock",
    "MOCK",
    "1",
    "10",
    "1.0",
    "2024-01-31",
    "AB",
    "ABC",
    "a1",
    "+10",
)
_SHALLOW = 6  # below this depth only required properties, because recursive schemas must end
_LARGEST = 2**53  # larger numbers are not exact in JSON, and infinity is near
_SMALLEST_STEP = 1e-6
_MAX_NODES = 5_000  # ends a schema that requires itself twice


def example(schema: JsonObject) -> JsonValue:
    return _Example(schema).of(schema, "value", 0)


class _Example:
    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._nodes = 0
        self._makers: Mapping[str, Callable[[JsonObject, str, int], JsonValue]] = {
            "object": self._object,
            "array": self._array,
            "string": lambda schema, name, _: _string(schema, name),
            "integer": lambda schema, *_: _integer(schema),
            "number": lambda schema, *_: _number(schema),
            "boolean": lambda *_: True,
            "null": lambda *_: None,
        }

    def of(self, schema: JsonValue, name: str, depth: int) -> JsonValue:
        self._nodes += 1
        if self._nodes > _MAX_NODES or depth > 8 * _SHALLOW:
            return None
        if not isinstance(schema, dict):  # `true` allows any value
            return f"mock {name}"
        schema = self._flat(schema, depth)
        for keyword in ("enum", "examples"):
            if values := _list(schema, keyword):
                return values[0]
        if "const" in schema:
            return schema["const"]
        maker = self._makers.get(_type(schema), self._makers["string"])
        return maker(schema, name, depth)

    def _flat(self, schema: JsonObject, depth: int) -> JsonObject:
        """Follow references, take the first alternative, and merge schemas that apply together."""
        for _ in range(16):  # a limit, because references can form a circle
            rest = {key: value for key, value in schema.items() if key not in _COMPOSED}
            parts = [self._resolved(schema["$ref"])] if "$ref" in schema else []
            parts += [_chosen(options, depth) for options in _alternatives(schema)]
            parts += _list(schema, "allOf")
            if not parts:
                break
            schema = _merged([*parts, rest])
        return schema

    def _resolved(self, reference: JsonValue) -> JsonValue:
        found: JsonValue = self._root
        for part in str(reference).removeprefix("#").split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        return found

    def _object(self, schema: JsonObject, _: str, depth: int) -> JsonValue:
        required = [key for key in _list(schema, "required") if isinstance(key, str)]
        properties = schema.get("properties")
        declared = properties if isinstance(properties, dict) else {}
        wanted = [key for key in declared if depth < _SHALLOW or key in required]
        wanted += [key for key in required if key not in declared]
        return {key: self.of(declared.get(key, True), key, depth + 1) for key in wanted}

    def _array(self, schema: JsonObject, name: str, depth: int) -> JsonValue:
        at_least = int(_bound(schema, "minItems", 0))
        count = max(at_least, 1 if depth < _SHALLOW and schema.get("maxItems") != 0 else 0)
        first = _list(schema, "prefixItems")
        items = [*first, *[schema.get("items", True)] * (min(count, 100) - len(first))]
        return [
            self.of(item, name if index == 0 else f"{name} {index + 1}", depth + 1)
            for index, item in enumerate(items)
        ]


_COMPOSED = {"$ref", "anyOf", "oneOf", "allOf"}


def _alternatives(schema: JsonObject) -> list[list[JsonValue]]:
    return [options for keyword in ("anyOf", "oneOf") if (options := _list(schema, keyword))]


def _chosen(options: list[JsonValue], depth: int) -> JsonValue:
    """A value that is not null, except deep inside a recursion."""
    nulls = [option for option in options if option == {"type": "null"}]
    values = [option for option in options if option not in nulls]
    return (nulls + values)[0] if depth >= _SHALLOW or not values else values[0]


def _merged(parts: list[JsonValue]) -> JsonObject:
    merged: JsonObject = {}
    for part in parts:
        for key, value in part.items() if isinstance(part, dict) else ():
            present = merged.get(key)
            if isinstance(present, dict) and isinstance(value, dict):
                merged[key] = present | value
            elif key == "required" and isinstance(present, list) and isinstance(value, list):
                merged[key] = present + value
            else:
                merged[key] = value
    return merged


def _type(schema: JsonObject) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _string(schema: JsonObject, name: str) -> str:
    text = _FORMATS.get(str(schema.get("format")), f"mock {name.replace('_', ' ')}")
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        text = next((guess for guess in _PATTERN_GUESSES if _matches(pattern, guess)), text)
    text = text.ljust(min(int(_bound(schema, "minLength", 0)), 10_000), ".")
    return text[: int(_bound(schema, "maxLength", len(text)))]


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False


def _integer(schema: JsonObject) -> float:
    low, high = _range(schema, gap=1)
    value = math.ceil(low) if low > -math.inf else min(high, 1)
    return int(_stepped(value, high, _bound(schema, "multipleOf", 1)))


def _number(schema: JsonObject) -> float:
    low, high = _range(schema, gap=0)
    if math.isfinite(low) and math.isfinite(high):
        value = (low + high) / 2
    else:
        value = low + 1 if math.isfinite(low) else min(high - 1, 1)
    return _stepped(value, high, _bound(schema, "multipleOf", 0))


def _range(schema: JsonObject, gap: int) -> tuple[float, float]:
    """The inclusive bounds; an exclusive bound is moved by `gap`."""
    low = _bound(schema, "exclusiveMinimum", -math.inf) + gap
    high = _bound(schema, "exclusiveMaximum", math.inf) - gap
    return max(low, _bound(schema, "minimum", low)), min(high, _bound(schema, "maximum", high))


def _stepped(value: float, high: float, step: float) -> float:
    if step < _SMALLEST_STEP:
        return value
    above = math.ceil(value / step) * step
    return above if above <= high else math.floor(high / step) * step


def _bound(schema: JsonObject, keyword: str, default: float) -> float:
    value = schema.get(keyword)
    return value if isinstance(value, int | float) and abs(value) <= _LARGEST else default


def _list(schema: JsonObject, keyword: str) -> list[JsonValue]:
    value = schema.get(keyword)
    return value if isinstance(value, list) else []
