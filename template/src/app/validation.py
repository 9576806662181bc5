"""Raises Pydantic's errors, and describes them: the place of an error, and its reason."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

Part = int | str


def place(loc: Sequence[Part], name: Callable[[str], str] = ".{}".format) -> str:
    """Write a place as code does, like `messages[0].content`; `name` may hide the name of a field."""
    parts = [f"[{part}]" if isinstance(part, int) else name(part) for part in loc]
    return "".join(parts).removeprefix(".")


def reason(message: str) -> str:
    """The message of an error, without Pydantic's prefix for the errors of validators."""
    return message.removeprefix("Value error, ")


def lines(error: ValidationError) -> list[str]:
    """One line per error, without the input: its place, if it has one, and its reason."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [": ".join(filter(None, (place(one["loc"]), reason(one["msg"])))) for one in found]


def raise_each(wrong: Mapping[tuple[str, ...], str]) -> None:
    """Refuse each field by its own name; a plain `ValueError` would name the whole policy."""
    if not wrong:
        return
    raise ValidationError.from_exception_data(
        "Settings",
        [
            InitErrorDetails(
                # The message is passed as an argument, because a template would interpret braces.
                type=PydanticCustomError("refused", "{why}", {"why": why}),
                loc=path,
                input=None,
            )
            for path, why in wrong.items()
        ],
        hide_input=True,
    )
