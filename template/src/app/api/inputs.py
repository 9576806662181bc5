"""The types of what callers send: JSON bodies, numbers, the tenant, and text.

Text is trimmed, bounded in length, and in Unicode's normal form C.
"""

import asyncio
import unicodedata
from collections.abc import Sequence
from itertools import takewhile
from typing import Annotated, Any

from fastapi import Depends, Header
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.telemetry.correlation import client, tenant

# A problem shows 20 errors. Pydantic takes 2 µs for each further one: half a second for the
# 150,000 unknown fields that fit into a body.
MAX_UNKNOWN_FIELDS = 20

# Sorting the marks of one letter takes quadratic time: two megabytes of alternating marks took
# 55 s, in which the event loop served no other request. Unicode's stream-safe format
# (https://www.unicode.org/reports/tr15/#Stream_Safe_Text_Format) has at most 30; languages use 4.
MAX_MARKS = 30
TOO_MANY_MARKS = f"The text has more than {MAX_MARKS} combining marks in a row"

# Normalizing so many characters of the slowest allowed kind takes 15 ms.
MAX_TEXT_CHARS = 100_000

# A JSON schema cannot say "after trimming": this pattern refuses text that is only white space. U+0085
# is white space here and not in JavaScript, and U+FEFF in JavaScript only.
NOT_BLANK_PATTERN = r"[^\s\x85]|\ufeff"
NOT_BLANK = Field(json_schema_extra={"pattern": NOT_BLANK_PATTERN})


class RequestBody(BaseModel):
    """Refuses fields that it does not know, and values of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _few_unknown_fields(cls, value: Any) -> Any:  # noqa: ANN401 - any JSON
        """Keep the known fields and the first unknown ones, which are enough for a refusal."""
        if not isinstance(value, dict) or len(value) <= len(cls.model_fields) + MAX_UNKNOWN_FIELDS:
            return value
        unknown = (name for name in value if name not in cls.model_fields)
        kept = [name for name in cls.model_fields if name in value]
        kept += [name for name, _ in zip(unknown, range(MAX_UNKNOWN_FIELDS), strict=False)]
        return {name: value[name] for name in kept}


def _whole(value: object) -> object:
    """JSON has one type of number, and JSON Schema counts 8.0 as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


# After the bounds, so that the schema has them: `Annotated[int, Field(ge=1), WHOLE]`.
WHOLE = BeforeValidator(_whole)


def by_shape(shape: type, its_type: object, other_type: object) -> WrapValidator:
    """Validate a value of the shape (`list`, `dict`) as one type, and any other value as the other.

    So an error names the field that is wrong and not the alternatives.
    """
    its, other = _adapter(its_type), _adapter(other_type)

    def validate(value: object, _handler: ValidatorFunctionWrapHandler) -> object:
        return (its if isinstance(value, shape) else other).validate_python(value)

    return WrapValidator(validate)


def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any type
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    return TypeAdapter(kind, config=None if is_model else ConfigDict(strict=True))


async def _tenant(
    given: Annotated[
        str | None,
        Header(
            alias="X-Tenant-ID",
            pattern=r"^[A-Za-z0-9._:@-]{1,128}$",
            description="The id of the tenant that makes the request. Cached answers are not shared "
            "between tenants. Defaults to the name of the client. A client with a key may use its "
            "own name, or its own name, a colon and any id: `acme:customer-7`. Without client keys "
            "the value is trusted as sent: have your gateway set it.",
        ),
    ] = None,
) -> str | None:
    if (name := client.get()) is None:
        tenant.set(given)
    return name if given is None else given


Tenant = Annotated[str | None, Depends(_tenant)]


def normalize_text(text: str) -> str:
    """Give texts that look equal the same characters, so that the cache sees them as equal."""
    if (normalized := _normalized(text)) is None:
        raise PydanticCustomError("too_many_marks", "{reason}", {"reason": TOO_MANY_MARKS})
    return normalized


async def normalize_texts(texts: Sequence[str]) -> list[str | None]:
    """Normalize many texts; `None` for a text with too many marks.

    Other requests run between two long texts: normalizing two megabytes at once takes 0.2 s.
    """
    normalized: list[str | None] = []
    chars = 0
    for text in texts:
        is_plain = text.isascii() and "\r" not in text  # so it is in the normal form
        normalized.append(text if is_plain else _normalized(text))
        chars += len(text)
        if chars >= MAX_TEXT_CHARS:
            await asyncio.sleep(0)
            chars = 0
    return normalized


def _normalized(text: str) -> str | None:
    if has_too_many_marks(text):
        return None
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n"))


def has_too_many_marks(text: str) -> bool:
    """Look at every 31st character: a run of more than 30 marks contains one of these."""
    step = MAX_MARKS + 1
    if text.isascii() or not any(map(unicodedata.combining, text[MAX_MARKS::step])):
        return False
    return any(
        _marks_around(text, index) > MAX_MARKS
        for index in range(MAX_MARKS, len(text), step)
        if unicodedata.combining(text[index])
    )


def _marks_around(text: str, index: int) -> int:
    """Count the marks before and after `index`, no further than the limit in each direction."""
    before = reversed(text[max(0, index - MAX_MARKS) : index])
    after = text[index : index + MAX_MARKS + 1]
    return sum(1 for side in (before, after) for _ in takewhile(unicodedata.combining, side))


# One of many texts of a request: its endpoint normalizes all of them with `normalize_texts`.
TextOfMany = Annotated[
    str,
    NOT_BLANK,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_TEXT_CHARS),
]
Text = Annotated[TextOfMany, AfterValidator(normalize_text)]
