"""Values made from a JSON schema satisfy it: Pydantic is the judge."""

import datetime as dt
import enum
import uuid
from typing import Annotated, Literal

import pytest
from pydantic import AnyUrl, BaseModel, Field, JsonValue, TypeAdapter

from mock_api.schemas import JsonObject, example


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str = Field(min_length=20)
    zip: Annotated[str, Field(pattern=r"^[0-9]+$")]


class Node(BaseModel):
    name: str
    parent: "Node | None"
    children: list["Node"]


class Event(BaseModel):
    when: dt.datetime
    day: dt.date
    id: uuid.UUID
    link: AnyUrl
    colour: Colour
    kind: Literal["a", "b"]
    home: Address
    more: dict[str, int]
    pair: tuple[int, str]
    either: int | str | None
    flag: bool


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(Event, id="many types"),
        pytest.param(Node, id="recursive"),
        pytest.param(list[Address], id="list of references"),
        pytest.param(Annotated[list[int], Field(min_length=3)], id="minimum of items"),
        pytest.param(Annotated[int, Field(gt=5, lt=7)], id="between"),
        pytest.param(Annotated[int, Field(ge=-9, le=-3)], id="negative"),
        pytest.param(Annotated[int, Field(le=0)], id="not above zero"),
        pytest.param(Annotated[int, Field(gt=10, multiple_of=7)], id="multiple"),
        pytest.param(Annotated[float, Field(gt=0, lt=1)], id="fraction"),
        pytest.param(Annotated[float, Field(lt=0)], id="below zero"),
        pytest.param(Annotated[float, Field(ge=0.3, multiple_of=0.5)], id="halves"),
        pytest.param(Annotated[str, Field(max_length=2)], id="short"),
    ],
)
def test_the_example_satisfies_the_model(kind: type) -> None:
    adapter: TypeAdapter[object] = TypeAdapter(kind)
    value = example(adapter.json_schema())
    adapter.validate_python(value)
    assert value == example(adapter.json_schema())


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({}, "mock value", id="anything"),
        pytest.param({"const": 5}, 5, id="constant"),
        pytest.param({"type": ["null", "integer"]}, 1, id="value before null"),
        pytest.param({"anyOf": [{"type": "null"}, {"type": "boolean"}]}, True, id="anyOf"),
        pytest.param({"type": "array", "maxItems": 0}, [], id="no items"),
        pytest.param({"type": "object", "required": ["a"]}, {"a": "mock a"}, id="undeclared"),
        pytest.param(
            {"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]},
            {"a": 1, "b": 2},
            id="allOf",
        ),
        pytest.param({"type": "object", "required": [{}]}, {}, id="required nonsense"),
        pytest.param({"$ref": "#/nowhere"}, "mock value", id="dangling reference"),
        pytest.param({"type": "string", "pattern": "("}, "mock value", id="bad pattern"),
    ],
)
def test_the_example_of(schema: JsonObject, value: JsonValue) -> None:
    assert example(schema) == value


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"$ref": "#"}, id="circle"),
        pytest.param(
            {
                "type": "object",
                "properties": {name: {"$ref": "#"} for name in "abcdefghij"},
                "required": list("abcdefghij"),
            },
            id="requires itself ten times",
        ),
        pytest.param({"minItems": 10**9, "items": True}, id="very long"),
        pytest.param({"minLength": 10**12}, id="very wide"),
        pytest.param({"type": "integer", "minimum": 1e300}, id="very large"),
        pytest.param({"type": "number", "multipleOf": 1e-320}, id="very small"),
    ],
)
def test_hostile_schemas_end_soon(schema: JsonObject) -> None:
    example(schema)
