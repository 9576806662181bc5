import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from app.validation import lines, place


class Item(BaseModel):
    price: int = Field(ge=0)

    @field_validator("price")
    @classmethod
    def _no_thirteen(cls, value: int) -> int:
        if value == 13:
            raise ValueError("13 is unlucky")
        return value


class Order(BaseModel):
    items: list[Item]


@pytest.mark.parametrize(
    ("loc", "written"),
    [
        pytest.param((), "", id="the whole value"),
        pytest.param(("items", 0, "price"), "items[0].price", id="field of an item"),
        pytest.param((2, "price"), "[2].price", id="list"),
    ],
)
def test_a_place_is_written_as_in_code(loc: tuple[int | str, ...], written: str) -> None:
    assert place(loc) == written


def test_a_name_can_be_hidden_in_a_place() -> None:
    assert place(("items", 0, "secret"), "[{:.0}]".format) == "[][0][]"


def test_each_error_is_a_line_without_the_input() -> None:
    with pytest.raises(ValidationError) as raised:
        Order.model_validate({"items": [{"price": 13}, {"price": "canary"}]})
    first, second = lines(raised.value)
    assert first == "items[0].price: 13 is unlucky"
    assert second.startswith("items[1].price: Input should be a valid integer")
    assert "canary" not in second
