"""Describes Pydantic's errors in a readable form: the place of an error, and its reason."""

from collections.abc import Callable, Sequence

from pydantic import ValidationError

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
