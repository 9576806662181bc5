"""The types that a provider's answer is read with, and the reading.

A wire type says of each field how much the converter needs it:

- `Lax`: the converter can do without it. A wrong value counts as absent.
- `Count`: a number of tokens, or an index. Lax too; `3.0` and `"3"` are 3.
- `Given`: part of the answer itself (text, tool calls). It may be absent, but a value that cannot be
  read makes the answer unusable, because a part of it would be missing.
- `Items`: a list of such parts. One object counts as a list of one.
- `FirstItem`: the same, but only its first item is read.
- `Required`: without it there is no answer.

`null` equals absent, and so do `""`, `[]`, `{}` and `false`, which some servers write for it. Fields
that a type does not name are ignored.
"""

import json
import re
from collections.abc import Callable
from typing import Annotated, TypeVar

from annotated_types import Ge, Le
from pydantic import (
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    JsonValue,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import CoreSchema, core_schema, from_json
from typing_extensions import TypeAliasType, TypeForm

from app.errors import MalformedAnswerError
from app.validation import place, reason

T = TypeVar("T")

# No count of tokens is larger. It keeps sums and prices within what a float can hold.
_MAX_COUNT = 10**12
_BOM = b"\xef\xbb\xbf"
_HALF_PAIR = re.compile("[\ud800-\udfff]")
_NATURAL = re.compile(r"(\d{1,13})(\.0*)?", re.ASCII)


class _NoneIfWrong:
    """Reads a value that does not have the type as None, in pydantic's compiled core."""

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_default_schema(handler(source), default=None, on_error="default")


class _ElseRead:
    """Reads a value that does not have the type with a function; no function runs for others."""

    def __init__(self, read: Callable[[object], object]) -> None:
        self._read = read

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        otherwise = core_schema.no_info_before_validator_function(self._read, handler(source))
        return core_schema.union_schema([handler(source), otherwise], mode="left_to_right")


def is_empty(value: object) -> bool:
    """Whether a value stands for "absent". The number 0 does not: it is data."""
    return value is None or value is False or (isinstance(value, str | list | dict) and not value)


def _given(value: object) -> object:
    return value or (None if is_empty(value) else value)


def _items(value: object) -> object:
    if isinstance(value, list) and value:
        return [item for item in value if item is not None]
    if is_empty(value):
        return None
    return [value] if isinstance(value, dict) else value


def _first_item(value: object) -> object:
    if isinstance(value, list) and value and value[0] is not None:
        return value[:1]
    items = _items(value)
    return items[:1] if isinstance(items, list) else items


def as_count(value: object) -> int | None:
    """A natural number, also as `3.0` or `"3"`; None for any other value."""
    if isinstance(value, str) and (match := _NATURAL.fullmatch(value.strip())):
        value = int(match[1])
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_COUNT:
        return None
    return value


def _text_of_number(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Lax = Annotated[T | None, _NoneIfWrong()]
Given = Annotated[T | None, BeforeValidator(_given)] | None  # `null` runs no function
Items = Annotated[list[T] | None, BeforeValidator(_items)]
FirstItem = Annotated[list[T] | None, BeforeValidator(_first_item)]
Count = Annotated[Annotated[int, Ge(0), Le(_MAX_COUNT)] | None, _ElseRead(as_count)]
Identifier = Annotated[str | None, _NoneIfWrong(), _ElseRead(_text_of_number)]


def adapter(kind: TypeForm[T]) -> TypeAdapter[T]:
    """Validate without repeating the input in an error: the text of an answer belongs to its user.

    The alias is there because pydantic refuses this setting for a `TypedDict`, but not by a name.
    """
    named: TypeForm[T] = TypeAliasType("answer", kind)  # type: ignore[assignment]  # made at run time
    return TypeAdapter(named, config=ConfigDict(hide_input_in_errors=True, strict=True))


def parsed(body: bytes | str, provider: str) -> JsonValue:
    """The JSON value of a body or of an event, or `MalformedAnswerError`."""
    if isinstance(body, bytes):
        body = body.removeprefix(_BOM)
    try:
        value: JsonValue = from_json(body)
    except ValueError as error:
        if "hex escape" not in str(error):
            raise _not_json(provider) from error
        value = _parsed_with_half_pairs(body, provider)
    return value


def _parsed_with_half_pairs(body: bytes | str, provider: str) -> JsonValue:
    try:
        return _repaired(json.loads(body))
    except (ValueError, RecursionError) as error:
        raise _not_json(provider) from error


def _not_json(provider: str) -> MalformedAnswerError:
    return MalformedAnswerError(f"{provider} sent something that is not JSON", provider=provider)


def _repaired(value: JsonValue) -> JsonValue:
    """Half a surrogate pair becomes U+FFFD: some servers cut an emoji in two between tokens."""
    if isinstance(value, str):
        return _HALF_PAIR.sub("\ufffd", value)
    if isinstance(value, list):
        return [_repaired(item) for item in value]
    if isinstance(value, dict):
        return {key: _repaired(item) for key, item in value.items()}
    return value


def validated(adapter: TypeAdapter[T], value: object, provider: str) -> T:
    """Check a parsed value. The error names the first field that is wrong, and not its content."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        field = place(first["loc"]) or "answer"
        raise malformed(provider, field, reason(first["msg"])) from error


def malformed(provider: str, field: str, flaw: str) -> MalformedAnswerError:
    return MalformedAnswerError(
        f"{provider} sent a malformed answer: {field}: {flaw}", provider=provider
    )
