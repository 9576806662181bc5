"""A typed function as a tool: its schema, its validated call, and what cannot be a tool."""

import json
from collections.abc import Awaitable, Callable
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from app.llm.tools.failures import InvalidArgumentsError
from app.llm.tools.function import FunctionTool, function_tool


class Unit(Enum):
    CELSIUS = "celsius"
    KELVIN = "kelvin"


class Place(BaseModel):
    title: str
    altitude_m: float = 0.0


async def forecast(
    place: Place,
    days: Annotated[int, Field(ge=1, le=14, description="How many days.")] = 3,
    unit: Unit = Unit.CELSIUS,
    *,
    detail: Literal["low", "high"] | None = None,
) -> list[object]:
    """Forecast the weather.

    One line for each day.
    """
    return [place, days, unit, detail]


def test_the_schema_is_that_of_the_signature_and_the_description_the_docstring() -> None:
    tool = function_tool(forecast).tool
    assert (tool.name, tool.strict) == ("forecast", False)
    assert tool.description == "Forecast the weather.\n\nOne line for each day."
    parameters = json.loads(json.dumps(tool.parameters))
    assert parameters["required"] == ["place"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["days"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 14,
        "default": 3,
        "description": "How many days.",
    }
    assert parameters["$defs"]["Place"]["properties"]["title"] == {"type": "string"}


async def test_arguments_arrive_as_the_types_of_the_signature() -> None:
    arguments = '{"place": {"title": "Bonn"}, "days": "2", "unit": "kelvin", "detail": "low"}'
    assert await function_tool(forecast).call(arguments) == [
        Place(title="Bonn"),
        2,
        Unit.KELVIN,
        "low",
    ]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param("{}", "place: Missing required argument", id="missing"),
        pytest.param('{"place": {}}', "place.title: Field required", id="a field of a model"),
        pytest.param('{"place": {"title": "x"}, "days": 15}', "days: Input should be", id="bound"),
        pytest.param('{"place": {"title": "x"}, "z": 1}', "z: Unexpected keyword", id="unknown"),
        pytest.param('{"place": ', "Invalid JSON: ", id="cut off"),
        pytest.param('[{"title": "x"}]', "Arguments must be an object", id="a list"),
        pytest.param('"SECRET"', "Arguments must be an", id="a text"),
        pytest.param('{"place": "SECRET"}', "place: Input should be", id="the wrong type"),
    ],
)
def test_invalid_arguments_are_an_error_with_their_place_and_without_their_value(
    arguments: str, reason: str
) -> None:
    with pytest.raises(InvalidArgumentsError) as refused:
        function_tool(forecast).call(arguments)
    assert reason in refused.value.text
    assert "SECRET" not in refused.value.text


async def now() -> str:
    """The time."""
    return "noon"


@pytest.mark.parametrize("arguments", ["", " ", "{}"])
async def test_a_function_without_parameters_needs_no_arguments(arguments: str) -> None:
    assert await function_tool(now).call(arguments) == "noon"


class Shelf:
    def __init__(self, *books: str) -> None:
        self._books = books

    async def find(self, title: str) -> bool:
        """Whether a book is there."""
        return title in self._books


async def test_a_method_is_a_tool_without_self() -> None:
    tool = function_tool(Shelf("Ulysses").find)
    assert list(tool.tool.parameters["properties"]) == ["title"]  # type: ignore[arg-type]
    assert await tool.call('{"title": "Ulysses"}') is True


async def undocumented(city: str) -> str:
    return city


async def untyped(city) -> str:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """A tool."""
    return str(city)


async def open_ended(**cities: str) -> str:
    """A tool."""
    return str(cities)


async def positional(city: str, /) -> str:
    """A tool."""
    return city


def synchronous(city: str) -> str:
    """A tool."""
    return city


async def größe(city: str) -> str:  # noqa: PLC2401 - a name that providers refuse
    """A tool."""
    return city


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (undocumented, "undocumented has no docstring"),
        (untyped, "untyped: the parameter city has no type"),
        (open_ended, r"open_ended: .* so \*\*cities: str cannot be one"),
        (positional, "positional: .* so city: str cannot be one"),
        (synchronous, "synchronous must be an async function"),
        (größe, "größe: the name of a tool"),
    ],
)
def test_a_function_that_cannot_be_a_tool_is_refused_with_the_reason(
    function: Callable[..., Awaitable[object]], reason: str
) -> None:
    with pytest.raises(TypeError, match=reason):
        function_tool(function)


TYPES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    date: st.dates(),
    UUID: st.uuids(),
    Unit: st.sampled_from(Unit),
    Place: st.builds(Place, title=st.text(), altitude_m=st.floats(-500, 9000)),
    list[int]: st.lists(st.integers(-9, 9)),
    dict[str, bool]: st.dictionaries(st.text(), st.booleans()),
    tuple[str, int]: st.tuples(st.text(), st.integers(0, 9)),
    str | None: st.none() | st.text(),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
}


def echo_of(kind: Any) -> FunctionTool:
    async def echo(value: Any, times: int = 1) -> list[object]:
        """Repeat a value."""
        return [value] * times

    echo.__annotations__["value"] = kind
    return function_tool(echo)


@pytest.mark.parametrize("kind", TYPES, ids=str)
@given(data=st.data())
async def test_a_value_that_fits_the_schema_arrives_equal(kind: Any, data: st.DataObject) -> None:
    value = data.draw(TYPES[kind])
    written = TypeAdapter(kind).dump_json(value).decode()
    assert await echo_of(kind).call(f'{{"value": {written}}}') == [value]


@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_each_common_type_has_a_schema_of_its_own(kind: Any) -> None:
    parameters: Any = echo_of(kind).tool.parameters
    own = TypeAdapter(kind).json_schema()
    own.pop("$defs", None)
    if (own.get("type") == "object" and "properties" in own) or ("enum" in own and kind is Unit):
        own = {"$ref": f"#/$defs/{kind.__name__}"}
    assert parameters["properties"]["value"] == own
