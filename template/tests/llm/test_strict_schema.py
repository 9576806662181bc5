"""Schemas that both providers accept, without keywords of only one of them."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, Field, JsonValue

from app.llm.structured.schema import JSONSchema, answer_schema, strict_schema
from tests import sdk

T = TypeVar("T")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = Field(default=9, ge=0, le=9, description="Left.")


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str] = []


class Box(BaseModel, Generic[T]):
    inside: T


class Owner(BaseModel):
    name: Annotated[str, Field(min_length=1, pattern="^[A-Z]")]
    born: date | None = None
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    favourite: Cat = Field(description="Of all cats.")


def strict_owner() -> JSONSchema:
    return strict_schema(Owner.model_json_schema())


def schemas_in(value: JsonValue) -> Iterator[JSONSchema]:
    if isinstance(value, dict):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from schemas_in(one)


def test_every_object_is_closed_and_every_property_required() -> None:
    objects = [one for one in schemas_in(strict_owner()) if one.get("type") == "object"]
    assert [one["additionalProperties"] for one in objects] == [False, False, False]
    assert [one["required"] for one in objects] == [
        ["name", "born", "pet", "favourite"],
        ["kind", "lives"],
        ["kind", "tricks"],
    ]


def test_limits_of_a_schema_move_into_its_description() -> None:
    cat = strict_schema(Cat.model_json_schema())["properties"]
    assert cat == {
        "kind": {"const": "cat", "type": "string"},
        "lives": {"type": "integer", "description": "Left. (maximum: 9, minimum: 0)"},
    }


def test_nothing_stands_beside_a_reference() -> None:
    properties = strict_owner()["properties"]
    assert isinstance(properties, dict)
    assert properties["favourite"] == {"$ref": "#/$defs/Cat"}


def test_alternatives_are_any_of_and_a_date_stays_a_date() -> None:
    properties = strict_owner()["properties"]
    assert isinstance(properties, dict)
    assert properties["pet"] == {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}
    assert properties["born"] == {"anyOf": [{"format": "date", "type": "string"}, {"type": "null"}]}


def test_anthropics_sdk_finds_nothing_to_put_into_words() -> None:
    """Their SDK moves keywords that their API refuses into the description."""
    ours = strict_owner()
    theirs = sdk.anthropic.transform_schema(ours)
    described = [[s.get("description") for s in schemas_in(one)] for one in (ours, theirs)]
    assert sorted(map(str, described[0])) == sorted(map(str, described[1]))


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object", "additionalProperties": {"type": "string"}}, id="mapping"),
        pytest.param({"$ref": "#/$defs/Node", "$defs": {"Node": {"type": "null"}}}, id="recursion"),
        pytest.param({}, id="anything"),
    ],
)
def test_a_schema_that_strict_mode_cannot_express_keeps_its_keywords(schema: JSONSchema) -> None:
    assert strict_schema(schema).items() >= schema.items()


def test_a_schema_is_made_once_and_has_a_name_that_openai_accepts() -> None:
    schema = answer_schema(Box[Cat])
    assert schema.name == "Box_Cat_"
    assert answer_schema(Box[Cat]) is schema
