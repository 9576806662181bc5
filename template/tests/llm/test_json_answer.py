"""JSON within a model's text, cut into chunks at any place."""

import datetime as dt
import json
from typing import Annotated, Literal, TypeVar

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, RootModel, field_validator

from app.llm.structured.parse import JSONAnswer

M = TypeVar("M", bound=BaseModel)


class Place(BaseModel):
    name: str
    height_m: int = Field(ge=0)


class Train(BaseModel):
    by: Literal["train"]


class Bus(BaseModel):
    by: Literal["bus"]


class Trip(BaseModel):
    model_config = ConfigDict(extra="forbid")

    day: dt.date
    stops: list[Place] = Field(max_length=30)
    notes: dict[str, int] = {}
    way: Annotated[Train | Bus | None, Field(discriminator="by")] = None

    @field_validator("stops")
    @classmethod
    def _not_twice(cls, stops: list[Place]) -> list[Place]:
        if len({stop.name for stop in stops}) < len(stops):
            raise ValueError("a stop must not be there twice")
        return stops


PLACE = '{"name": "Zugspitze {sic}", "height_m": 2962}'
ZUGSPITZE = Place(name="Zugspitze {sic}", height_m=2962)


def answers_in(text: str, kind: type[M]) -> list[M]:
    reader = JSONAnswer(kind)
    return [value for piece in text if (value := reader.feed(piece)) is not None]


def flaws_in(text: str, kind: type[BaseModel] = Place) -> list[str]:
    reader = JSONAnswer(kind)
    assert [reader.feed(piece) for piece in text] == [None] * len(text)
    return [str(flaw) for flaw in reader.finish()]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(PLACE, id="nothing else"),
        pytest.param(f"```json\n{PLACE}\n```", id="in a fence"),
        pytest.param(f"```{PLACE}```", id="in a fence on one line"),
        pytest.param(f"Here is the JSON: {PLACE}", id="announced"),
        pytest.param(f"{PLACE}\n\nLet me know if {{anything}} is missing!", id="explained"),
        pytest.param(f"As I read it [1], {PLACE}", id="behind a footnote"),
        pytest.param(f'{{"name": "an example"}} of the answer: {PLACE}', id="behind an example"),
        pytest.param(f'{PLACE} or {{"name": "K2", "height_m": 1}}', id="before an alternative"),
        pytest.param(f'{{"thought": "easy", "answer": 1}}\n{PLACE}', id="behind another object"),
        pytest.param(f"Fill in {{name}} and {{height}}: {PLACE}", id="behind a template"),
    ],
)
def test_the_first_value_that_fits_is_the_answer(text: str) -> None:
    assert answers_in(text, Place)[0] == ZUGSPITZE


def test_the_value_is_found_before_the_model_has_finished() -> None:
    reader = JSONAnswer(Place)
    assert reader.feed("Sure! " + PLACE[:-1]) is None
    assert reader.feed("}") == ZUGSPITZE


def test_a_list_may_be_asked_for() -> None:
    places = RootModel[list[Place]]
    assert answers_in(f"Both: [{PLACE}, {PLACE}]", places) == [places([ZUGSPITZE, ZUGSPITZE])]


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        pytest.param("", "there is no valid JSON object or array", id="nothing"),
        pytest.param("I cannot do that.", "there is no valid JSON object or array", id="prose"),
        pytest.param('{"name": "x",}', "there is no valid JSON object or array", id="broken"),
        pytest.param('{"name": "x', "the JSON is broken, or ends in the middle", id="cut off"),
        pytest.param('{"name": "x"}', "height_m: Field required", id="a field is missing"),
        pytest.param("[1]", "Input should be an object", id="another kind of value"),
        pytest.param("[" * 200, "a value is nested deeper than 100 levels", id="too deep"),
        pytest.param(
            '{"name": "' + "\\ud800" + '", "height_m": 1}', "Invalid JSON", id="half a surrogate"
        ),
    ],
)
def test_an_answer_without_a_value_is_refused_with_the_reason(text: str, flaw: str) -> None:
    (only,) = flaws_in(text)
    assert only.startswith(flaw)


def test_after_a_value_without_bounds_nothing_more_is_read() -> None:
    reader = JSONAnswer(Place)
    assert reader.feed("[" * 200) is None
    assert reader.feed(PLACE) is None


def test_the_longest_value_is_the_one_that_was_meant() -> None:
    text = '[1] {"name": "a long name", "height_m": -1} {"name": 1}'
    assert flaws_in(text) == ["height_m: Input should be greater than or equal to 0"]


def test_places_are_written_as_a_programmer_would() -> None:
    trip = {"day": "2026-13-01", "stops": [{"name": "a", "height_m": "high"}]}
    flaws = flaws_in(json.dumps(trip), Trip)
    assert flaws[0].startswith("day: Input should be a valid date")
    assert flaws[1].startswith("stops[0].height_m: Input should be a valid integer")


def test_a_validators_own_words_are_passed_on() -> None:
    stop = {"name": "a", "height_m": 1}
    flaws = flaws_in(json.dumps({"day": "2026-01-31", "stops": [stop, stop]}), Trip)
    assert flaws == ["stops: a stop must not be there twice"]


def test_flaws_never_repeat_the_models_text() -> None:
    trip = {"day": "SECRET", "SECRET": 1, "stops": "SECRET", "notes": {"the SECRET": "SECRET"}}
    flaws = flaws_in(json.dumps(trip | {"way": {"by": "SECRET"}}), Trip)
    assert len(flaws) == 5
    assert not any("SECRET" in flaw for flaw in flaws)


def test_flaws_are_few_and_short() -> None:
    trip = {"day": "2026-01-31", "stops": [{}] * 30}
    assert len(flaws_in(json.dumps(trip), Trip)) == 10


@hypothesis_settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(),
    before=st.text(st.characters(exclude_characters="{}[]"), max_size=40),
    behind=st.text(max_size=40),
    size=st.integers(1, 20),
)
def test_any_answer_in_any_prose_is_found(name: str, before: str, behind: str, size: int) -> None:
    text = before + json.dumps({"name": name, "height_m": 7}) + behind
    reader = JSONAnswer(Place)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    found = [value for piece in pieces if (value := reader.feed(piece)) is not None]
    assert found[0] == Place(name=name, height_m=7)
