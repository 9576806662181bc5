"""The data set: questions and expectations of their answers, one JSON object per line."""

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal, Self

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from app.validation import lines

Kind = Literal["chat", "extract", "ask"]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
Name = Annotated[str, StringConstraints(pattern=NAME)]

# The expectations that each kind of question can have.
_EXPECTATIONS: dict[Kind, set[str]] = {
    "chat": {"exact", "contains", "json_schema"},
    "extract": {"fields"},
    "ask": {"contains", "documents"},
}
_SHOWN_MISTAKES = 20


class BadDataSetError(Exception):
    """A data set that cannot be used; the message has a line `file:line: mistake` per mistake."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Expect(_Strict):
    """Expectations of an answer; at least one of these.

    exact        the answer, without the white space around it
    contains     texts that the answer has in it, in upper or lower case
    json_schema  the model is asked for JSON that follows it, and the answer does
    fields       fields of the extracted object, with these values
    documents    a document, a section or a chunk: at least one is found; an empty list: none is found
    """

    exact: str | None = None
    contains: list[Text] | None = Field(default=None, min_length=1)
    json_schema: dict[str, JsonValue] | None = None
    fields: dict[str, JsonValue] | None = Field(default=None, min_length=1)
    documents: list[Text] | None = None

    @field_validator("json_schema")
    @classmethod
    def _is_a_schema(cls, value: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        try:
            Draft202012Validator.check_schema(value or {})
        except SchemaError as error:
            raise ValueError(f"is not a JSON schema: {error.message}") from None
        return value


class Case(_Strict):
    id: Name
    kind: Kind = "chat"
    question: Text
    tags: list[Name] = Field(default=[], max_length=20)
    expect: Expect

    @model_validator(mode="after")
    def _expects_only_what_its_kind_has(self) -> Self:
        expected, possible = self.expect.model_fields_set, _EXPECTATIONS[self.kind]
        if not expected or not expected <= possible:
            raise ValueError(f"expect: {self.kind} takes {' and '.join(sorted(possible))}")
        return self

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the question alone: an answer stays valid when its expectation changes."""
        asked = [self.kind, self.question, self.expect.json_schema]
        return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]


def read_cases(path: Path) -> tuple[Case, ...]:
    """Read the whole data set, empty lines apart.

    Raises `BadDataSetError` with everything that is wrong with it, so that nothing is asked (and paid)
    before the last line has been read.
    """
    cases: list[Case] = []
    mistakes: list[str] = []
    for number, line in enumerate(_lines(path), start=1):
        if line.strip():
            try:
                cases.append(_case(line, cases))
            except ValueError as error:
                mistakes += [f"{path}:{number}: {reason}" for reason in _reasons(error)]
    if not cases and not mistakes:
        mistakes = [f"{path}:1: there is no case in it"]
    if mistakes:
        raise BadDataSetError("\n".join(_shortened(mistakes)))
    return tuple(cases)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise BadDataSetError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadDataSetError(f"{path}:{line}: not UTF-8") from None


def _case(line: str, before: Sequence[Case]) -> Case:
    case = Case.model_validate_json(line)
    if case.id in (other.id for other in before):
        raise ValueError(f"id: {case.id} is there already")
    return case


def _reasons(error: ValueError) -> list[str]:
    return lines(error) if isinstance(error, ValidationError) else [str(error)]


def _shortened(mistakes: list[str]) -> list[str]:
    rest = len(mistakes) - _SHOWN_MISTAKES
    return mistakes if rest <= 0 else [*mistakes[:_SHOWN_MISTAKES], f"… and {rest} more"]
