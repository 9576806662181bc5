"""Reads a provider's answer: the types, the JSON, and what stands in for a missing id or count.

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

An answer without an id gets one of our own (`own_id`), and counts that are missing are completed from
those that are known (`counted`).
"""

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, TypeVar
from uuid import uuid4

import orjson
import structlog
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
from app.llm.costs import BrokenOff, Receipt
from app.llm.types import Usage
from app.validation import place, reason

T = TypeVar("T")
_log = structlog.get_logger(__name__)

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
    """`from_json` refuses half a surrogate pair; the slower parser reads it."""
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


def own_id() -> str:
    """The id of an answer that has none: callers use it as a key, so it is never empty."""
    return f"generated-{uuid4().hex}"


_STANDARD_TIERS = {None, "", "auto", "default", "standard"}


def counted(
    provider: str,
    *,
    prompt: int | None,
    completion: int | None,
    total: int | None = None,
    cached: int | None = None,
    written: int | None = None,
    written_5m: int | None = None,
    written_1h: int | None = None,
    reasoning: int | None = None,
    service_tier: str | None = None,
) -> Usage:
    """Complete what is missing from what is known. All zeros, and one warning, when nothing is.

    A price is made of the prompt's and the answer's tokens, so a total alone is completed to a
    usage without a price.
    """
    if not (prompt or completion or total):
        _log.warning("llm.usage_missing", provider=provider)
    total = total or 0
    if prompt is None:
        prompt = 0 if completion is None else max(total - completion, 0)
    if completion is None:
        completion = max(total - prompt, 0) if prompt else 0
    cached = min(cached or 0, prompt)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=max(total, prompt + completion),
        cached_prompt_tokens=cached,
        cache_write_tokens=min(written or 0, prompt - cached),
        cache_write_5m_tokens=written_5m or 0,
        cache_write_1h_tokens=written_1h or 0,
        reasoning_tokens=min(reasoning or 0, completion),
        service_tier=None if service_tier in _STANDARD_TIERS else service_tier,
    )


def counts_anything(usage: Mapping[str, object]) -> bool:
    return any(isinstance(count, int) and count for count in usage.values())


def note_usage(
    body: bytes, read_usage: Callable[[object], Usage | None], receipt: Receipt | None
) -> None:
    """Note on the receipt what a malformed answer costs all the same."""
    if receipt is not None:
        with suppress(ValueError, KeyError, TypeError):
            usage = read_usage(orjson.loads(body)["usage"])
            receipt.broken_off = BrokenOff(usage, final=True)
