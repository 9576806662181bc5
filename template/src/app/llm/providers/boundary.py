"""Where what a provider sent becomes something that the rest of the service may rely on."""

from typing import TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypeAliasType, TypeForm

from app.errors import MalformedAnswer

T = TypeVar("T")


def adapter(kind: TypeForm[T]) -> TypeAdapter[T]:
    """Validate without ever repeating the input in an error: what a model wrote is its user's.

    The alias is there because pydantic refuses this setting for a `TypedDict`, but not by a name.
    """
    named: TypeForm[T] = TypeAliasType("answer", kind)  # type: ignore[assignment]  # made at run time
    return TypeAdapter(named, config=ConfigDict(hide_input_in_errors=True))


def validated(adapter: TypeAdapter[T], body: bytes | str, provider: str) -> T:
    """Parse and check in one pass.

    Unknown fields are ignored: providers add some every month. Strict, because "12" is not a number
    of tokens. The error names the first field that is wrong, and not what was in it.
    """
    try:
        return adapter.validate_json(body, strict=True)
    except ValidationError as error:
        raise MalformedAnswer(_what_is_wrong(error, provider), provider=provider) from error


def _what_is_wrong(error: ValidationError, provider: str) -> str:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return f"{provider} sent something that is not JSON"
    field = ".".join(str(part) for part in first["loc"]) or "answer"
    return f"{provider} sent a malformed answer: {field}: {first['msg']}"
